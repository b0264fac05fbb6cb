using System.Collections.Immutable;

namespace TinyMLaaS.Engine.Graphs;

/// <summary>What is known of a value: its element type and shape, each of which may be unknown.</summary>
internal readonly record struct TensorType(ElementType Element, ImmutableArray<Dimension>? Shape)
{
    /// <summary>The shape if every extent is a number; null otherwise.</summary>
    public long[]? StaticShape => Shape is { } shape && shape.All(d => d.Value is not null) ? [.. shape.Select(d => d.Value!.Value)] : null;

    /// <summary>Number of extents; null when not known.</summary>
    public int? Rank => Shape?.Length;
}
