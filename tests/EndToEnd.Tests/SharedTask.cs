using System.Runtime.CompilerServices;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Onnx;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Networks with labelled data, which lie beside the repository and hold terms that keep them out of it: fused and quantized through the command line.</summary>
internal static class SharedTask
{
    private static readonly HashSet<string> Float = ["Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"];

    /// <summary>Each with its input, the layout of its pictures and its accuracy, which was measured with ONNX Runtime on these files.</summary>
    public static TheoryData<string, string, string, double> All => new()
    {
        { "ic_cifar10_resnet8", "input", "layout: NHWC->NCHW", 0.879 },
        { "mnist_cnn_cntk", "Input3", "layout: as-is", 0.981 },
    };

    /// <summary>Runs the pipeline and checks that the outcome is as good as before and computes with integers; the digest of the outcome. The last arguments say which server.</summary>
    public static async Task<string> RunAsync(TemporaryFolder folder, string task, string input, string layout, double reference, CancellationToken cancellation, params string[] where)
    {
        var files = Find(task);
        var calibration = Dataset(folder, files, "calibration", "x_train_u8.npy", input, layout, labels: null);
        var evaluation = Dataset(folder, files, "evaluation", "x_test_u8.npy", input, layout, "y_test.npy");
        var pipeline = folder.In("pipeline.yaml");
        await File.WriteAllTextAsync(pipeline, """
            evaluate: { dataset: evaluation, metric: top1 }
            steps:
              - uses: compiler/fuse
              - uses: compiler/quantize
                datasets: { calibrate: calibration }
            """, cancellation);

        var result = (await TinymlCommand.RunAsync(cancellation,
        [
            "run", Path.Combine(files, "model.onnx"), "--pipeline", pipeline, "--dataset", $"calibration={calibration}", "--dataset", $"evaluation={evaluation}", "--out", folder.Output, "--json", .. where,
        ])).Expect(0);

        var metric = result.Json.GetProperty("evaluation");
        // One sample of 2000 is 0.0005.
        Assert.Equal(reference, metric.GetProperty("before").GetDouble(), 0.001);
        Assert.True(metric.GetProperty("after").GetDouble() >= metric.GetProperty("before").GetDouble() - 0.01, metric.ToString());
        var output = result.Json.GetProperty("outputs")[0];
        Assert.DoesNotContain(Optimized(output.GetProperty("path").GetString()!, folder.In("optimized.onnx")), Float.Contains);
        return output.GetProperty("digest").GetString()!;
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
