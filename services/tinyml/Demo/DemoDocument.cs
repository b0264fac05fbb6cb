using TinyMLaaS.Contracts;
using TinyMLaaS.Tinyml.Runs;

namespace TinyMLaaS.Tinyml.Demo;

/// <summary>The document of <c>demo --json</c>.</summary>
internal sealed record DemoDocument
{
    public required Guid Run { get; init; }

    public required string State { get; init; }

    public NetworkFigures? Before { get; init; }

    public NetworkFigures? After { get; init; }

    public required IReadOnlyList<StepFigures> Steps { get; init; }

    public required IReadOnlyList<OutputFile> Outputs { get; init; }

    /// <summary>What the image answered; null for other targets, and where no Docker Engine does.</summary>
    public ServedFigures? Served { get; init; }

    public IReadOnlyList<Violation> Problems { get; init; } = [];
}
