using TinyMLaaS.Contracts;

namespace TinyMLaaS.Tinyml;

/// <summary>The document of <c>--json</c> when a command ends before it has a result.</summary>
internal sealed record ProblemDocument
{
    public required IReadOnlyList<Violation> Problems { get; init; }
}
