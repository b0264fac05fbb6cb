using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Fuse;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.Benchmarks.Engine;

/// <summary>
/// What the engine takes and gains: time and memory for a network of 100 MB, speed of integers on one thread, and every real network that is there beside what
/// <see cref="MinMaxBaseline"/> makes of it.
/// </summary>
internal static class EngineBenchmark
{
    /// <summary>The parts that <c>--only</c> names.</summary>
    public static readonly string[] Parts = ["large", "latency", "networks"];

    private const long LargeMemoryLimit = 4L << 30;

    // Limits of int8 over float time, one thread, for a processor with VNNI.
    private const double ResNetRatio = 0.45;
    private const double MobileNetRatio = 0.65;

    private const int Seed = 20;
    private const int Samples = 4;

    /// <summary>Runs the parts asked for; each line of text for a person is told as soon as it is known.</summary>
    /// <param name="parts">Of <see cref="Parts"/>.</param>
    /// <param name="network">Only networks whose name holds this; null for all.</param>
    /// <param name="root">The repository.</param>
    /// <param name="line">Told lines of at most 80 characters.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static async Task<JsonObject> RunAsync(IReadOnlyCollection<string> parts, string? network, string root, Action<string> line, CancellationToken cancellation)
    {
        var folder = Directory.CreateTempSubdirectory("tinyml-bench-").FullName;
        try
        {
            var figures = new JsonObject();
            var within = true;
            if (parts.Contains("large"))
                figures["large"] = await LargeAsync(folder, line, cancellation);
            if (parts.Contains("latency"))
                within &= Latencies(figures, folder, line, cancellation);
            if (parts.Contains("networks"))
                within &= Networks(figures, network, root, folder, line, cancellation);
            figures["withinLimits"] = within;
            return figures;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>What the process does that <see cref="LargeAsync"/> starts: fuses and quantizes <c>model.onnx</c> of a folder and returns how long that took and the most memory it held.</summary>
    public static JsonObject RunLarge(string folder)
    {
        var start = Stopwatch.GetTimestamp();
        var fused = RunFuse(Path.Combine(folder, "model.onnx"), Work(folder, "fuse"));
        var fuse = Stopwatch.GetElapsedTime(start).TotalSeconds;
        start = Stopwatch.GetTimestamp();
        RunQuantize(fused, Dataset.Open(Path.Combine(folder, "samples.npy")), Work(folder, "quantize"));
        var quantize = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var peak = File.ReadLines("/proc/self/status").First(l => l.StartsWith("VmHWM:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2];
        return new JsonObject { ["fuseSeconds"] = Math.Round(fuse, 2), ["quantizeSeconds"] = Math.Round(quantize, 1), ["peakMegabytes"] = long.Parse(peak, CultureInfo.InvariantCulture) / 1024 };
    }

    private static async Task<JsonNode> LargeAsync(string folder, Action<string> line, CancellationToken cancellation)
    {
        Progress("fusing and quantizing a network of 100 MB in a process of its own");
        var work = Work(folder, "large");
        var model = GeneratedNetworks.ResNet50(Seed);
        await File.WriteAllBytesAsync(Path.Combine(work, "model.onnx"), model, cancellation);
        WriteSamples(work);
        var start = new ProcessStartInfo(Environment.ProcessPath!, [typeof(EngineBenchmark).Assembly.Location, "engine-large", work]) { RedirectStandardOutput = true };
        // As a worker's attempts run.
        ChildProgram.Configure(start.Environment, LargeMemoryLimit);
        using var process = Process.Start(start)!;
        var output = await process.StandardOutput.ReadToEndAsync(cancellation);
        await process.WaitForExitAsync(cancellation);
        var figures = process.ExitCode == 0 ? JsonNode.Parse(output)! : throw new InvalidOperationException($"The process that quantizes ended with exit code {process.ExitCode}.");
        figures["bytes"] = model.Length;
        line(string.Create(CultureInfo.InvariantCulture, $"ResNet-50-shaped, {model.Length / 1e6:F0} MB: fuse {figures["fuseSeconds"]} s, quantize {figures["quantizeSeconds"]} s, peak memory {figures["peakMegabytes"]} MB"));
        line("");
        return figures;
    }

    private static bool Latencies(JsonObject figures, string folder, Action<string> line, CancellationToken cancellation)
    {
        var within = true;
        line($"{"latency, 1 thread",-20} {"float ms",9} {"int8 ms",9} {"ratio",7} {"limit",7}");
        foreach (var (name, make, limit, runs) in new[] { ("ResNet-50-shaped", (Func<int, byte[]>)GeneratedNetworks.ResNet50, ResNetRatio, 30), ("MobileNetV2-shaped", GeneratedNetworks.MobileNetV2, MobileNetRatio, 100) })
        {
            Progress($"measuring the latency of {name}");
            var work = Work(folder, name);
            var path = Path.Combine(work, "model.onnx");
            var original = make(Seed);
            File.WriteAllBytes(path, original);
            // Ranges do not change the time, so none are searched for.
            var quantized = RunQuantize(path, Dataset.Open(WriteSamples(work)), work, """{"calibration":"min-max"}""");
            var medians = Latency.MedianMilliseconds([original, File.ReadAllBytes(quantized.OutputPath!)], TimeProvider.System, runs: runs, cancellation: cancellation);
            var ratio = medians[1] / medians[0];
            within &= ratio <= limit;
            figures[name] = new JsonObject { ["floatMilliseconds"] = Math.Round(medians[0], 2), ["int8Milliseconds"] = Math.Round(medians[1], 2), ["ratio"] = Math.Round(ratio, 3), ["limit"] = limit };
            line(string.Create(CultureInfo.InvariantCulture, $"{name,-20} {medians[0],9:F2} {medians[1],9:F2} {ratio,7:F3} {limit,7:F2} {(ratio <= limit ? "ok" : "ABOVE THE LIMIT")}"));
        }
        line("");
        return within;
    }

    private static bool Networks(JsonObject figures, string? name, string root, string folder, Action<string> line, CancellationToken cancellation)
    {
        var within = true;
        var rows = new JsonArray();
        line("Our default | baseline (uint8 min-max, int8 weights per channel, all operators).");
        line("Limits: SQNR not below the baseline's; with labels, metric at most 0.003 or 2");
        line("samples below float (AUC 0.005), and bytes not above the baseline's.");
        line($"{"network",-20} {"float",6} {"metric",13} {"SQNR dB",12} {"bytes",19} {"s",4}");
        foreach (var network in RealNetworks.All(root, folder).Where(n => name is null || n.Name.Contains(name, StringComparison.Ordinal)))
        {
            Progress(network.Name);
            try
            {
                var row = Compare(network, Work(folder, network.Name), cancellation);
                within &= row.Misses.Count == 0;
                rows.Add(row.Json);
                foreach (var text in row.Lines)
                    line(text);
            }
            catch (TransformRejectedException e)
            {
                rows.Add(new JsonObject { ["network"] = network.Name, ["notMeasured"] = e.Message });
                line($"{network.Name}: not measured:");
                foreach (var part in e.Message.Chunk(78))
                    line($"  {new string(part)}");
            }
        }
        if (rows.Count == 0)
            line($"no network: {RealNetworks.Folder(root)} is absent; TINYML_SHARED_MODELS names it");
        figures["networks"] = rows;
        return within;
    }

    private static Row Compare(RealNetwork network, string folder, CancellationToken cancellation)
    {
        var original = File.ReadAllBytes(network.Path);
        var (calibration, test) = network.Open();
        var start = Stopwatch.GetTimestamp();
        var result = RunQuantize(network.Path, calibration, folder);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var ours = File.ReadAllBytes(result.OutputPath!);
        var baseline = MinMaxBaseline.Quantize(File.ReadAllBytes(RunFuse(network.Path, folder)), calibration, cancellation);
        EvaluationResult Of(byte[] model, Metric metric) => Evaluation.Measure(model, test, metric, original, cancellation: cancellation);
        return new Row(network.Name, network.Metric is { } metric ? (Of(original, metric), Of(ours, metric).Value, Of(baseline, metric).Value) : null,
            (Of(ours, Metric.Sqnr).Value, Of(baseline, Metric.Sqnr).Value), (ours.Length, baseline.Length), seconds);
    }

    private static string RunFuse(string path, string folder) =>
        new Fuse().Transform(new TransformRequest { InputPath = path, InputKind = "onnx", WorkFolder = folder }, new Progress<TransformProgress>(), CancellationToken.None).OutputPath!;

    private static TransformResult RunQuantize(string path, Dataset calibration, string folder, string options = "{}") => new Quantize().Transform(
        new TransformRequest
        {
            InputPath = path,
            InputKind = "onnx",
            WorkFolder = folder,
            Options = System.Text.Json.JsonDocument.Parse(options).RootElement,
            Datasets = new Dictionary<string, Dataset> { [Quantize.CalibrateRole] = calibration },
        },
        new Progress<TransformProgress>(),
        CancellationToken.None);

    private static string WriteSamples(string folder) =>
        RealNetworks.WriteArray(folder, "samples.npy", [.. GeneratedNetworks.SampleShape.Select(d => (long)d)], [.. Enumerable.Range(0, Samples).Select(i => GeneratedNetworks.Sample(Seed + i))]);

    private static string Work(string folder, string name) => Directory.CreateDirectory(Path.Combine(folder, name)).FullName;

    private static void Progress(string text) => Console.Error.WriteLine(text);
}
