namespace TinyMLaaS.Tinyml;

/// <summary>One entry of <c>problems[]</c> in <c>--json</c>.</summary>
internal sealed record Problem
{
    public int? Step { get; init; }

    public string? Field { get; init; }

    public required string Code { get; init; }

    public required string Message { get; init; }
}
