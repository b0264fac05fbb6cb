namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>Why a step did not come from the step cache.</summary>
public sealed record CacheMiss
{
    /// <summary>One of <see cref="CacheMissReasons"/>.</summary>
    public required string Reason { get; init; }

    /// <summary>What differs from the entry that is most like the step, in this order: <c>input, options, version, datasets, seed, history</c>; empty unless the reason is <c>changed</c>.</summary>
    public IReadOnlyList<string> Changed { get; init; } = [];
}
