using System.Buffers.Binary;
using System.Buffers.Text;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestrator.Endpoints;

/// <summary>The place of a run in the list, opaque to clients.</summary>
/// <param name="At">When the run was accepted.</param>
/// <param name="Run">The run.</param>
internal sealed record PageToken(DateTimeOffset At, Guid Run)
{
    private const int Length = sizeof(long) + 16;

    public static string Write(PipelineRun run)
    {
        Span<byte> bytes = stackalloc byte[Length];
        BinaryPrimitives.WriteInt64BigEndian(bytes, run.AcceptedAt.UtcTicks);
        run.CorrelationId.TryWriteBytes(bytes[sizeof(long)..]);
        return Base64Url.EncodeToString(bytes);
    }

    /// <summary>Null for what is no token.</summary>
    public static PageToken? Read(string text)
    {
        Span<byte> bytes = stackalloc byte[Length];
        if (text.Length > 2 * Length || !Base64Url.IsValid(text, out var length) || length != Length || !Base64Url.TryDecodeFromChars(text, bytes, out _))
            return null;
        var ticks = BinaryPrimitives.ReadInt64BigEndian(bytes);
        return ticks < 0 || ticks > DateTimeOffset.MaxValue.Ticks
            ? null
            : new PageToken(new DateTimeOffset(ticks, TimeSpan.Zero), new Guid(bytes[sizeof(long)..]));
    }
}
