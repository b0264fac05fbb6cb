namespace TinyMLaaS.Orchestrator.Caching;

/// <summary>What the result of a step depends on, part by part: two steps whose parts are the same have the same <see cref="StepCacheKey"/>.</summary>
internal sealed record StepCacheParts
{
    /// <summary>Digest of the input, with its kind.</summary>
    public required string Input { get; init; }

    /// <summary>SHA-256 of the options in their canonical order.</summary>
    public required string Options { get; init; }

    /// <summary>The transformer's version.</summary>
    public required string Version { get; init; }

    /// <summary>SHA-256 of the datasets' digests by role.</summary>
    public required string Datasets { get; init; }

    public required int Seed { get; init; }

    /// <summary>SHA-256 of how the input came to be, where the result depends on that; empty elsewhere.</summary>
    public required string History { get; init; }

    /// <summary>The names of the parts that differ, as <see cref="TinyMLaaS.Contracts.Pipelines.CacheMiss"/> lists them.</summary>
    public IReadOnlyList<string> Differences(StepCacheParts other)
    {
        var names = new List<string>();
        void Compare(string name, bool same)
        {
            if (!same)
                names.Add(name);
        }
        Compare("input", Input == other.Input);
        Compare("options", Options == other.Options);
        Compare("version", Version == other.Version);
        Compare("datasets", Datasets == other.Datasets);
        Compare("seed", Seed == other.Seed);
        Compare("history", History == other.History);
        return names;
    }
}
