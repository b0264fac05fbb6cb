namespace TinyMLaaS.TestWorker;

/// <summary>Options of <c>tests/mutants</c>.</summary>
internal sealed record MutantsOptions
{
    /// <summary>The files to damage.</summary>
    public IReadOnlyList<string> Files { get; init; } = [];

    /// <summary>Seed of the first mutant; the others follow.</summary>
    public int First { get; init; }

    /// <summary>How many.</summary>
    public int Count { get; init; }
}
