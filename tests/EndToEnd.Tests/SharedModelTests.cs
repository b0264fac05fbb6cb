using System.Runtime.CompilerServices;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Onnx;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Real networks, which lie beside the repository and hold terms that keep them out of it.</summary>
public sealed class SharedModelTests
{
    private static readonly HashSet<string> Float = ["Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("ic_cifar10_resnet8", "input", "layout: NHWC->NCHW", 0.879)]
    [InlineData("mnist_cnn_cntk", "Input3", "layout: as-is", 0.981)]
    public async Task A_quantized_network_is_as_good_and_runs_on_integers(string task, string input, string layout, double reference)
    {
        var files = Find(task);
        using var folder = new TemporaryFolder();
        var calibration = Dataset(folder, files, "calibration", "x_train_u8.npy", input, layout, labels: null);
        var evaluation = Dataset(folder, files, "evaluation", "x_test_u8.npy", input, layout, "y_test.npy");
        var pipeline = folder.In("pipeline.yaml");
        await File.WriteAllTextAsync(pipeline, """
            evaluate: { dataset: evaluation, metric: top1 }
            steps:
              - uses: compiler/fuse
              - uses: compiler/quantize
                datasets: { calibrate: calibration }
            """, Cancellation);

        var result = (await TinymlCommand.RunAsync(
            Cancellation, "run", Path.Combine(files, "model.onnx"), "--pipeline", pipeline, "--dataset", $"calibration={calibration}", "--dataset", $"evaluation={evaluation}",
            "--out", folder.Output, "--home", folder.Home, "--json")).Expect(0);

        var metric = result.Json.GetProperty("evaluation");
        // The reference was measured with ONNX Runtime on these files; one sample of 2000 is 0.0005.
        Assert.Equal(reference, metric.GetProperty("before").GetDouble(), 0.001);
        Assert.True(metric.GetProperty("after").GetDouble() >= metric.GetProperty("before").GetDouble() - 0.01, metric.ToString());
        var network = result.Json.GetProperty("outputs")[0].GetProperty("path").GetString()!;
        Assert.DoesNotContain(Optimized(network, folder.In("optimized.onnx")), Float.Contains);
    }

    // The operators of the graph that ONNX Runtime makes of a network; none of those above computes in anything but float there.
    private static List<string> Optimized(string network, string path)
    {
        using var options = new SessionOptions { GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_EXTENDED, OptimizedModelFilePath = path };
        using var session = new InferenceSession(network, options);
        return [.. OnnxFile.Read(File.ReadAllBytes(path)).Graph.Nodes.Select(n => n.OpType)];
    }

    private static string Dataset(TemporaryFolder folder, string files, string name, string samples, string input, string layout, string? labels)
    {
        File.CreateSymbolicLink(folder.In(name + "-" + samples), Path.Combine(files, samples));
        var yaml = $"inputs:\n  {input}: {{ file: {name}-{samples}, {layout} }}\n";
        if (labels is not null)
        {
            File.CreateSymbolicLink(folder.In(name + "-" + labels), Path.Combine(files, labels));
            yaml += $"labels: {name}-{labels}\n";
        }
        File.WriteAllText(folder.In(name + ".yaml"), yaml);
        return folder.In(name + ".yaml");
    }

    private static string Find(string task)
    {
        var folder = Environment.GetEnvironmentVariable("TINYML_SHARED_MODELS") is { Length: > 0 } named
            ? named
            : Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Here())!, "..", "..", "..", "shared", "models"));
        if (!Directory.Exists(folder))
            Assert.Skip("The folder of shared models is absent; TINYML_SHARED_MODELS names it.");
        return Path.Combine(folder, "labelled", task);
    }

    private static string Here([CallerFilePath] string path = "") => path;
}
