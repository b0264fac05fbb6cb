using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.TestWorker;

/// <summary><c>tests/misbehave</c>: does what its options say.</summary>
internal sealed class Misbehave : ITransformer
{
    public TransformerInfo Info { get; } = new()
    {
        Name = "tests/misbehave",
        Version = "1",
        Summary = "Ends as it is told.",
        Accepts = ["onnx"],
        Produces = "onnx",
        Options = typeof(MisbehaveOptions),
    };

    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var options = TransformerOptions.Parse<MisbehaveOptions>(request.Options);
        var how = options.How;
        if (options.Once is { } once)
        {
            how = File.Exists(once) ? Misbehaviour.Copy : how;
            File.WriteAllText(once, "");
        }
        var output = Path.Combine(request.WorkFolder, "output.onnx");
        File.Copy(request.InputPath, output);
        var result = new TransformResult { OutputPath = output, Report = new JsonObject { ["how"] = how.ToString() } };
        switch (how)
        {
            case Misbehaviour.Tell:
                progress.Report(new TransformProgress(0.5, $"process {Environment.ProcessId}"));
                return result with { Report = new JsonObject { ["work"] = request.WorkFolder, ["current"] = Environment.CurrentDirectory, ["temporary"] = Path.GetTempPath(), ["secret"] = Environment.GetEnvironmentVariable("TINYML_SECRET") } };
            case Misbehaviour.WriteToZero:
                Fill(0, 1, 1);
                break;
            case Misbehaviour.Abort:
                Abort();
                break;
            case Misbehaviour.FailFast:
                Environment.FailFast($"There is no way on with '{request.InputPath}'.");
                break;
            case Misbehaviour.Recurse:
                progress.Report(new TransformProgress(Depth(1), "deep"));
                break;
            case Misbehaviour.Exit:
                Environment.Exit(3);
                break;
            case Misbehaviour.Kill:
                Process.GetCurrentProcess().Kill();
                _ = Pause();
                break;
            case Misbehaviour.NativeMemory:
                while (true)
                    Take(1 << 20);
            case Misbehaviour.ManagedMemory:
                var taken = new List<byte[]>();
                while (true)
                    taken.Add(GC.AllocateUninitializedArray<byte>(1 << 20));
            case Misbehaviour.Hang:
                progress.Report(new TransformProgress(0.5, $"process {Environment.ProcessId}"));
                while (true)
                    _ = Pause();
            case Misbehaviour.Chatter:
                _ = Write(1, "{}\n"u8.ToArray(), 3);
                var line = new byte[1 << 16];
                line.AsSpan().Fill((byte)'e');
                for (var i = 0; i < 64; i++)
                    _ = Write(2, line, line.Length);
                break;
            case Misbehaviour.Throw:
                throw new InvalidDataException($"Could not map '{request.InputPath}'.");
            case Misbehaviour.Reject:
                throw new TransformRejectedException("unreadable", $"Cannot read '{request.InputPath}'.");
            case Misbehaviour.NotANumber:
                progress.Report(new TransformProgress(double.NaN, "nothing of nothing"));
                return result with { Metrics = new Dictionary<string, double> { ["good"] = 1, ["bad"] = double.NaN } };
            case Misbehaviour.BadOutput:
                File.WriteAllText(output, "bad");
                break;
            default:
                break;
        }
        return result;
    }

    private static int Depth(int n) => n == 0 ? 0 : Depth(n + 1) + 1;

    private static unsafe void Take(int bytes)
    {
        var memory = NativeMemory.Alloc((nuint)bytes);
        NativeMemory.Fill(memory, (nuint)bytes, 1);
    }

    [DllImport("libc", EntryPoint = "memset")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint Fill(nint at, int value, nint count);

    [DllImport("libc", EntryPoint = "abort")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern void Abort();

    [DllImport("libc", EntryPoint = "pause")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Pause();

    [DllImport("libc", EntryPoint = "write")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint Write(int descriptor, byte[] bytes, nint count);
}
