namespace TinyMLaaS.Contracts;

/// <summary>An error answer over HTTP, <c>application/problem+json</c> (RFC 9457).</summary>
public sealed record Problem
{
    /// <summary>Stable URI of the kind of problem, <c>urn:tinymlaas:problem:&lt;code&gt;</c>.</summary>
    public required string Type { get; init; }

    /// <summary>The kind of problem for people; the same for each occurrence.</summary>
    public required string Title { get; init; }

    /// <summary>HTTP status.</summary>
    public required int Status { get; init; }

    /// <summary>What happened here: what was attempted, the thing by name, what to do.</summary>
    public string? Detail { get; init; }

    /// <summary>Stable, kebab-case; the last part of <see cref="Type"/>.</summary>
    public required string Code { get; init; }

    /// <summary>All violations of a refused request at once.</summary>
    public IReadOnlyList<Violation> Errors { get; init; } = [];

    /// <summary>Finds the request in logs and traces.</summary>
    public string? TraceId { get; init; }
}
