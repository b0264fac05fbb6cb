using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Fuse;

namespace TinyMLaaS.Engine.Tests.Conformance;

/// <summary>
/// ONNX's own operator cases and those of onnx2c: small networks with recorded inputs and outputs. Unpacked and run once for all tests here;
/// what each case gave is in <see cref="Outcomes"/>.
/// </summary>
public sealed class ConformanceCases
{
    private static readonly string[] Archives = ["onnx_backend_tests_1.12.tar.xz", "onnx2c_op_tests.tar.xz"];

    private readonly Lazy<IReadOnlyDictionary<string, Outcome>> _outcomes = new(RunAll);

    /// <summary>What happened, by the name of the case. Skips the test where the shared models are absent.</summary>
    public IReadOnlyDictionary<string, Outcome> Outcomes
    {
        get
        {
            foreach (var archive in Archives)
                Assert.True(File.Exists(SharedModels.Find($"conformance/{archive}")), $"{archive} is missing");
            return _outcomes.Value;
        }
    }

    private static SortedDictionary<string, Outcome> RunAll()
    {
        using var folder = new TemporaryFolder();
        foreach (var archive in Archives)
            Unpack(SharedModels.Find($"conformance/{archive}"), folder.Folder(archive[..archive.IndexOf('_', StringComparison.Ordinal)]));
        var outcomes = new ConcurrentDictionary<string, Outcome>();
        Parallel.ForEach(
            Directory.EnumerateFiles(folder.Path, "model.onnx", SearchOption.AllDirectories).ToArray(),
            new ParallelOptions { MaxDegreeOfParallelism = 2, CancellationToken = TestContext.Current.CancellationToken },
            path => outcomes[Path.GetRelativePath(folder.Path, Path.GetDirectoryName(path)!).Replace('\\', '/')] = Run(path));
        return new(outcomes, StringComparer.Ordinal);
    }

    private static void Unpack(string archive, string folder)
    {
        var start = new ProcessStartInfo("tar", ["-xJf", archive, "-C", folder]) { RedirectStandardError = true };
        using var tar = Process.Start(start)!;
        var errors = tar.StandardError.ReadToEnd();
        tar.WaitForExit();
        Assert.True(tar.ExitCode == 0, $"Cannot unpack {archive}: {errors} Install tar and xz: apt-get install tar xz-utils");
    }

    private static Outcome Run(string path)
    {
        var original = File.ReadAllBytes(path);
        List<Dictionary<string, Content>> inputs = [];
        List<IReadOnlyList<Content>> reference = [];
        try
        {
            using var session = Oracle.Open(original);
            var outputNames = session.OutputNames;
            foreach (var data in Directory.EnumerateDirectories(Path.GetDirectoryName(path)!, "test_data_set_*").Order(StringComparer.Ordinal))
            {
                var feed = new Dictionary<string, Content>();
                var names = session.InputNames;
                for (var i = 0; i < names.Count; i++)
                    feed.Add(names[i], Content.Read(Path.Combine(data, $"input_{i}.pb"), session.InputMetadata[names[i]]));
                var results = Run(session, feed);
                for (var i = 0; i < outputNames.Count; i++)
                {
                    var recorded = Content.Read(Path.Combine(data, $"output_{i}.pb"), session.OutputMetadata[outputNames[i]]);
                    if (recorded.WhyNotClose(results[i], 1e-3, 1e-5, 1e-3) is { } reason)
                        return new Outcome { WhyNotReproduced = $"{outputNames[i]}: {reason}" };
                }
                inputs.Add(feed);
                reference.Add(results);
            }
            if (reference.Count == 0)
                return new Outcome { WhyNotReproduced = "there is no recorded data" };
        }
        catch (Exception e) when (e is OnnxRuntimeException or NotSupportedException or FileNotFoundException or TransformRejectedException)
        {
            return new Outcome { WhyNotReproduced = e.Message };
        }

        string? refusal = null;
        string? Compare(string stage, Func<byte[]> change)
        {
            try
            {
                using var session = Oracle.Open(change());
                for (var i = 0; i < reference.Count; i++)
                {
                    var results = Run(session, inputs[i]);
                    for (var k = 0; k < results.Count; k++)
                    {
                        if (reference[i][k].WhyNotClose(results[k], 1e-5, 1e-6, 1e-3) is { } reason)
                            return $"{session.OutputNames[k]}: {reason}";
                    }
                }
                return null;
            }
            catch (TransformRejectedException e)
            {
                refusal ??= $"{stage} {e.Code}";
                return $"{e.Code}: {e.Message}";
            }
#pragma warning disable CA1031 // Whatever else happens is the result of the case.
            catch (Exception e)
#pragma warning restore CA1031
            {
                return $"{e.GetType().Name}: {e.Message}";
            }
        }
        return new Outcome
        {
            AfterWriting = Compare("read", () => OnnxFile.ToBytes(OnnxFile.Read(path))),
            AfterFusing = Compare("fuse", () => Fuse(path)),
            Refusal = refusal,
        };
    }

    private static byte[] Fuse(string path)
    {
        using var folder = new TemporaryFolder();
        var request = new TransformRequest { InputPath = path, InputKind = "onnx", WorkFolder = folder.Path };
        return File.ReadAllBytes(new Fuse().Transform(request, new Progress<TransformProgress>(), CancellationToken.None).OutputPath!);
    }

    private static List<Content> Run(InferenceSession session, Dictionary<string, Content> feed)
    {
        var values = feed.ToDictionary(f => f.Key, f => f.Value.ToOrt());
        try
        {
            using var options = new RunOptions();
            using var results = session.Run(options, values, session.OutputNames);
            return [.. results.Select(Content.Of)];
        }
        finally
        {
            foreach (var value in values.Values)
                value.Dispose();
        }
    }

    /// <summary>What became of a case.</summary>
    public sealed record Outcome
    {
        /// <summary>Why ONNX Runtime does not give the recorded output from the original file; null when it does. The rest counts only then.</summary>
        public string? WhyNotReproduced { get; init; }

        /// <summary>What differs after reading and writing; null for nothing.</summary>
        public string? AfterWriting { get; init; }

        /// <summary>What differs after compiler/fuse; null for nothing.</summary>
        public string? AfterFusing { get; init; }

        /// <summary>Where, <c>read</c> or <c>fuse</c>, and with which code the file was refused; null when it was not.</summary>
        public string? Refusal { get; init; }
    }
}
