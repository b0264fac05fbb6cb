using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Tests;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.TestWorker;
using TinyMLaaS.WorkerHost.Attempts;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.Services.Tests.WorkerHost;

/// <summary>
/// Damaged files through all that the compiler does with a file, in a process of its own: each is refused with a code or comes out sound, in little time and memory.
/// </summary>
public sealed class MutantsTests : IDisposable
{
    private const int Processes = 2;
    private const long MemoryLimit = 1L << 30;

    // A mutant takes milliseconds on an idle machine, and at most half a second; the rest is for what runs beside.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongestOfAll = TimeSpan.FromMinutes(12);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public Task A_thousand_mutants_of_the_sample_network_are_refused_or_sound() =>
        RunAsync([Repository.Path("samples/fashion-cnn.onnx")], 1_000, firstSeed: 1_000_000);

    [Fact]
    public Task Ten_thousand_mutants_of_real_networks_are_refused_or_sound()
    {
        string[] networks =
        [
            "labelled/hand_keypoint_mlp/model.onnx", "labelled/mnist_cnn_cntk/model.onnx", "labelled/mnist_mlp_bn_pytorch/model.onnx", "labelled/kws_speechcommands_dscnn/model.onnx",
            "unlabelled/yunet_n_dynamic.onnx", "labelled/hand_keypoint_mlp/model.onnx", "labelled/mnist_cnn_cntk/model.onnx", "unlabelled/blazeface_front_128_nhwc.onnx", "unlabelled/ultraface_rfb_320.onnx",
            "unlabelled/silero_vad_16k_op15.onnx",
        ];
        return RunAsync([.. networks.Select(SharedModels.Find)], 10_000, firstSeed: 0);
    }

    private async Task RunAsync(IReadOnlyList<string> files, int count, int firstSeed)
    {
        var reports = await Task.WhenAll(Enumerable.Range(0, Processes).Select(i => RunInChildAsync(files, count / Processes, firstSeed + (i * count / Processes))));
        double Most(string figure) => reports.Max(r => r[figure]!.GetValue<double>());
        var outcomes = reports.SelectMany(r => r["outcomes"]!.AsObject()).GroupBy(o => o.Key, o => o.Value!.GetValue<int>()).ToDictionary(g => g.Key, g => g.Sum());
        var parsed = reports.Sum(r => r["parsed"]!.GetValue<int>());
        var summary = $"""
            {count} mutants, {parsed} parse; {string.Join(", ", outcomes.OrderBy(o => o.Key, StringComparer.Ordinal).Select(o => $"{o.Key} {o.Value}"))}
            slowest {Most("slowestMs"):F0} ms; peak memory at most {Most("baselineMiB"):F0} MiB + 4 times the file + {Most("largestMiB"):F1} MiB
            {string.Join("; ", reports.Select(r => $"slowest seed {r["slowestSeed"]}, largest seed {r["largestSeed"]}"))}
            """;
        TestContext.Current.TestOutputHelper?.WriteLine(summary);

        Assert.Empty(reports.SelectMany(r => r["failures"]!.AsArray()).Select(f => f!.GetValue<string>()));
        Assert.Equal(count, outcomes.Values.Sum());
        Assert.True(parsed > 0.3 * count && outcomes["sound"] > 0.1 * count && outcomes["sound, quantized"] > 0, summary);
        Assert.True(Most("slowestMs") < Longest.TotalMilliseconds, summary);
        Assert.True(Most("largestMiB") < 64, summary);
    }

    private async Task<JsonObject> RunInChildAsync(IReadOnlyList<string> files, int count, int firstSeed)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(LongestOfAll);
        using var child = ChildProcess.Start(ChildProgram.Of(typeof(HungryNetwork).Assembly, MemoryLimit));
        var seen = new LastActivity();
        var call = Calls.Of("tests/mutants", files[0], _folder[$"{firstSeed}"], new { files, first = firstSeed, count });
        try
        {
            return (await child.RunAsync(call, seen, new AttemptLog(TimeProvider.System), limit.Token)).Report;
        }
        catch (AttemptFailedException e)
        {
            throw new InvalidOperationException($"At {seen.Activity}: {e.Message}\n{e.Details}", e);
        }
        catch (OperationCanceledException e)
        {
            throw new TimeoutException($"No end after {LongestOfAll}, at {seen.Activity}.", e);
        }
    }

    private sealed class LastActivity : IProgress<TransformProgress>
    {
        public string Activity { get; private set; } = "the start";

        public void Report(TransformProgress value) => Activity = value.Activity;
    }
}
