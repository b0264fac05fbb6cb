namespace TinyMLaaS.Contracts.Datasets;

/// <summary>Body of <c>POST /v1/datasets</c>: gives stored data a name.</summary>
public sealed record CreateDataset
{
    /// <summary>Letters, digits, <c>.</c>, <c>_</c> and <c>-</c>, at most 100, the first a letter or digit.</summary>
    public required string Name { get; init; }

    /// <summary>Digest of an artifact of kind <c>dataset</c>.</summary>
    public required string Artifact { get; init; }
}
