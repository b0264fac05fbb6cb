namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>Answer of <c>POST /v1/pipelines/validate</c> to a document that can run. One that cannot is answered 400 <c>invalid-pipeline</c> with every violation.</summary>
public sealed record PipelineValidation
{
    /// <summary>The transformers of the steps as the catalogue has them now.</summary>
    public required IReadOnlyList<ResolvedStep> Steps { get; init; }
}
