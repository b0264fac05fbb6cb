namespace TinyMLaaS.TestWorker;

/// <summary>Options of <c>tests/misbehave</c>.</summary>
internal sealed record MisbehaveOptions
{
    /// <summary>How it ends.</summary>
    public Misbehaviour How { get; init; }

    /// <summary>A file that it makes; where there is one already, it behaves. Null: it never behaves.</summary>
    public string? Once { get; init; }
}
