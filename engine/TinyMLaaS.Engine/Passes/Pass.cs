using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Passes;

/// <summary>One change of a whole model, in place.</summary>
internal abstract class Pass
{
    /// <summary>Stable, kebab-case.</summary>
    public abstract string Name { get; }

    /// <summary>Applies itself. The graph is sound before and after.</summary>
    public abstract PassResult Apply(Model model, PassContext context);
}

/// <summary>What passes are told.</summary>
/// <param name="IsExcluded">Nodes that must stay as they are.</param>
/// <param name="Cancellation">Observed for every node.</param>
internal sealed record PassContext(Func<Node, bool> IsExcluded, CancellationToken Cancellation = default)
{
    /// <summary>Nothing is excluded.</summary>
    public static PassContext Default { get; } = new(_ => false);
}

/// <summary>What a pass did.</summary>
internal sealed record PassResult
{
    /// <summary>True when the model is no longer what it was.</summary>
    public required bool IsModified { get; init; }

    /// <summary>What was rewritten, in order.</summary>
    public IReadOnlyList<Rewriting.Applied> Applied { get; init; } = [];

    /// <summary>What could have been rewritten but for a reason.</summary>
    public IReadOnlyList<Rewriting.Refusal> Refused { get; init; } = [];

    /// <summary>Number of nodes that went, by what they were.</summary>
    public IReadOnlyDictionary<string, int> Removed { get; init; } = new Dictionary<string, int>();
}
