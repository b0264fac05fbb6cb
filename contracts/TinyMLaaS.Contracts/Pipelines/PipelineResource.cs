namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>A named pipeline as HTTP shows it.</summary>
public sealed record PipelineResource
{
    /// <summary>Its name, unique for its tenant.</summary>
    public required string Name { get; init; }

    /// <summary>Who owns it.</summary>
    public required string Tenant { get; init; }

    /// <summary>The document; runs that were accepted keep the one they were accepted with.</summary>
    public required PipelineDocument Document { get; init; }

    /// <summary>When it was made, UTC.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it was last replaced, UTC.</summary>
    public required DateTimeOffset UpdatedAt { get; init; }
}
