namespace TinyMLaaS.Contracts.Health;

/// <summary>Answer of <c>/health/ready</c>: 200 when nothing is missing, else 503.</summary>
public sealed record Readiness
{
    /// <summary>The service that answers.</summary>
    public required string Service { get; init; }

    /// <summary>What it cannot work without and cannot reach; empty when it is ready.</summary>
    public required IReadOnlyList<MissingService> Missing { get; init; }
}

/// <summary>A service that is needed and does not answer.</summary>
public sealed record MissingService
{
    /// <summary>Its name, e.g. <c>artifact-store</c>.</summary>
    public required string Service { get; init; }

    /// <summary>What was seen of it, for people.</summary>
    public required string Reason { get; init; }
}
