using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

/// <summary>
/// A local pattern and what it becomes. <see cref="Match"/> finds it, <see cref="Candidate.Check"/> refuses with a reason or works out everything the
/// rewrite needs, <see cref="Candidate.Rewrite"/> cannot fail any more. A rewrite leaves fewer nodes, so rules end by themselves.
/// </summary>
internal abstract class Rule
{
    /// <summary>Stable, kebab-case; stands in reports.</summary>
    public abstract string Name { get; }

    /// <summary>The pattern whose last node is <paramref name="node"/>, or null. Looks at the graph's structure only.</summary>
    public abstract Candidate? Match(Node node, ShapeInference types);
}

/// <summary>A place where a rule's pattern was found.</summary>
/// <param name="Root">The last node of the pattern, which goes.</param>
/// <param name="Into">The node that takes its work over; null when it has none.</param>
internal abstract record Candidate(Node Root, Node? Into)
{
    /// <summary>The nodes that a rewrite would change.</summary>
    public IEnumerable<Node> Nodes => Into is null ? [Root] : [Root, Into];

    /// <summary>Bytes of the constants that <see cref="Check"/> may compute with.</summary>
    public long Bytes => Nodes.SelectMany(n => n.Inputs).Sum(i => i?.Constant is { } constant ? (long)constant.Bytes.Length : 0);

    /// <summary>Why the pattern must stay, or null. Accounts for every attribute and input of all its nodes.</summary>
    public abstract Blocked? Check();

    /// <summary>Rewrites, after <see cref="Check"/> found nothing; returns the node that does the work now, or null when none is left.</summary>
    public abstract Node? Rewrite();
}

/// <summary>What stands in the way of a rewrite.</summary>
/// <param name="Reason">A sentence's part that follows a name, e.g. "its weight 'w' is also read by 'conv7'".</param>
internal sealed record Blocked(string Reason);

/// <summary>A rewrite that was done.</summary>
internal sealed record Applied(string Rule, string Node, string? Into);

/// <summary>A rewrite that was not done.</summary>
internal sealed record Refusal(string Rule, string Node, string Reason);
