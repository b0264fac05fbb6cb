namespace TinyMLaaS.Contracts.Models;

/// <summary>Body of <c>POST /v1/models</c>: gives a stored network a name.</summary>
public sealed record CreateModel
{
    /// <summary>Letters, digits, <c>.</c>, <c>_</c> and <c>-</c>, at most 100, the first a letter or digit. Another network under the same name is a newer model of that name.</summary>
    public required string Name { get; init; }

    /// <summary>Digest of an artifact of kind <c>onnx</c>.</summary>
    public required string Artifact { get; init; }
}
