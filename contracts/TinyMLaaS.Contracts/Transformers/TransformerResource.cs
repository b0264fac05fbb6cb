namespace TinyMLaaS.Contracts.Transformers;

/// <summary>A transformer of the catalogue as HTTP shows it.</summary>
public sealed record TransformerResource
{
    /// <summary>What it is.</summary>
    public required TransformerDescriptor Descriptor { get; init; }

    /// <summary>When a worker last offered it, UTC.</summary>
    public required DateTimeOffset LastSeen { get; init; }

    /// <summary>Worker instances that offer it now; with none a step that uses it waits.</summary>
    public required int Instances { get; init; }
}
