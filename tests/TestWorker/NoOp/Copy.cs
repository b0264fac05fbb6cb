using System.Buffers.Binary;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.TestWorker.NoOp;

/// <summary><c>noop/copy</c>: its output is its input with the number in the first eight bytes one higher, so that every step of every run stores bytes of its own.</summary>
internal sealed class Copy : ITransformer
{
    /// <summary>Metric: when it began, in microseconds since 1970.</summary>
    public const string Began = "began";

    /// <summary>Metric: when it ended, in microseconds since 1970.</summary>
    public const string Ended = "ended";

    public TransformerInfo Info { get; } = new()
    {
        Name = "noop/copy",
        Version = "1",
        Summary = "Copies its input and counts.",
        Accepts = ["onnx"],
        Produces = "onnx",
        Options = typeof(NoOptions),
    };

    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var began = Now();
        var bytes = File.ReadAllBytes(request.InputPath);
        var count = BinaryPrimitives.ReadInt64LittleEndian(bytes) + 1;
        BinaryPrimitives.WriteInt64LittleEndian(bytes, count);
        var output = Path.Combine(request.WorkFolder, "output.onnx");
        File.WriteAllBytes(output, bytes);
        return new TransformResult
        {
            OutputPath = output,
            Report = new JsonObject { ["bytes"] = Convert.ToHexString(bytes.AsSpan(0, 16)) },
            Metrics = new Dictionary<string, double> { [Began] = began, [Ended] = Now() },
        };
    }

    private static double Now() => (TimeProvider.System.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
}
