using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Google.Protobuf;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Fuse;

namespace TinyMLaaS.TestWorker;

/// <summary>
/// <c>tests/mutants</c>: takes damaged files in a row through what the compiler does with a file (read, fuse, write, load in ONNX Runtime) and measures time and peak memory of each;
/// of those that are sound and small, some are quantized, too. Linux.
/// </summary>
internal sealed class Mutants : ITransformer
{
    private const int LongestFailures = 5;
    private const long Mebibyte = 1 << 20;
    private const string Sound = "sound";
    private const int QuantizedOneOf = 8;
    private const long LargestQuantized = 128 << 10;

    // What may lie around of the mutants before: collecting after each would take longer than all the rest.
    private const long Litter = 8 * Mebibyte;

    public TransformerInfo Info { get; } = new()
    {
        Name = "tests/mutants",
        Version = "1",
        Summary = "Damages files and sees what becomes of them.",
        Accepts = ["onnx"],
        Produces = "report",
        Options = typeof(MutantsOptions),
    };

    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var options = TransformerOptions.Parse<MutantsOptions>(request.Options);
        request = request with { InputPath = Path.Combine(request.WorkFolder, "mutant.onnx"), Options = null };
        byte[][] files = [.. options.Files.Select(File.ReadAllBytes)];
        // Once each undamaged, so that all code is there and its memory counted.
        foreach (var file in files)
            Outcome(request, file);
        PeakMemory.Collect();
        var baseline = PeakMemory.Now;
        var outcomes = new SortedDictionary<string, int>(StringComparer.Ordinal);
        var failures = new JsonArray();
        var (parsed, slowest, slowestSeed, largest, largestSeed) = (0, 0.0, 0, long.MinValue, 0);
        for (var seed = options.First; seed < options.First + options.Count; seed++)
        {
            // Told before, so that the last one told is the culprit of a crash.
            progress.Report(new TransformProgress((seed - options.First) / (double)options.Count, string.Create(CultureInfo.InvariantCulture, $"seed {seed}")));
            var mutant = new Mutation(seed).Of(files);
            parsed += IsProtobuf(mutant) ? 1 : 0;
            if (PeakMemory.Now > baseline + Litter)
                PeakMemory.Collect();
            PeakMemory.Forget();
            var watch = Stopwatch.StartNew();
            var outcome = Attempt(() => Outcome(request, mutant));
            var (milliseconds, excess) = (watch.Elapsed.TotalMilliseconds, PeakMemory.Most - baseline - (4L * mutant.Length));
            if (outcome == Sound && seed % QuantizedOneOf == 0)
                outcome = Attempt(() => Quantized(request));
            outcomes[outcome] = outcomes.GetValueOrDefault(outcome) + 1;
            if (milliseconds > slowest)
                (slowest, slowestSeed) = (milliseconds, seed);
            if (excess > largest)
                (largest, largestSeed) = (excess, seed);
        }
        string Attempt(Func<string> outcome)
        {
            try
            {
                return outcome();
            }
#pragma warning disable CA1031 // Every other exception is what is looked for.
            catch (Exception e)
#pragma warning restore CA1031
            {
                if (failures.Count < LongestFailures)
                    failures.Add($"seed {options.First + outcomes.Values.Sum()}: {e}");
                return "failed";
            }
        }
        return new TransformResult
        {
            OutputPath = null,
            Report = new JsonObject
            {
                ["parsed"] = parsed,
                ["outcomes"] = new JsonObject(outcomes.Select(o => KeyValuePair.Create(o.Key, (JsonNode?)o.Value))),
                ["failures"] = failures,
                ["baselineMiB"] = baseline / Mebibyte,
                ["slowestMs"] = slowest,
                ["slowestSeed"] = slowestSeed,
                ["largestMiB"] = largest / (double)Mebibyte,
                ["largestSeed"] = largestSeed,
            },
        };
    }

    /// <summary>What became of a file: "sound", or the code with which it was refused.</summary>
    private static string Outcome(TransformRequest request, byte[] file)
    {
        File.WriteAllBytes(request.InputPath, file);
        try
        {
            var fused = new Fuse().Transform(request, new Silence(), CancellationToken.None);
            return LoadCheck.WhyNot(File.ReadAllBytes(fused.OutputPath!)) is null ? Sound : "output-does-not-load";
        }
        catch (TransformRejectedException refused)
        {
            return refused.Code;
        }
    }

    /// <summary>Fuses a file and quantizes the result, if that is small: running a network may take as long as it likes. The outcome again.</summary>
    private static string Quantized(TransformRequest request)
    {
        try
        {
            var fused = new Fuse().Transform(request, new Silence(), CancellationToken.None).OutputPath!;
            if (new FileInfo(fused).Length > LargestQuantized || Samples.Write(OnnxFile.Read(fused).Graph, Path.Combine(request.WorkFolder, "samples")) is not { } samples)
                return Sound;
            var step = request with
            {
                InputPath = fused, Datasets = new Dictionary<string, Dataset> { [Quantize.CalibrateRole] = samples }, Options = JsonSerializer.SerializeToElement(new { calibration = "min-max" }),
            };
            var quantized = new Quantize().Transform(step, new Silence(), CancellationToken.None);
            return LoadCheck.WhyNot(File.ReadAllBytes(quantized.OutputPath!)) is null ? "sound, quantized" : "quantized-does-not-load";
        }
        catch (TransformRejectedException refused)
        {
            return $"sound, {refused.Code}";
        }
    }

    private static bool IsProtobuf(byte[] file)
    {
        try
        {
            ModelProto.Parser.ParseFrom(file);
            return true;
        }
        catch (InvalidProtocolBufferException)
        {
            return false;
        }
    }
}
