using System.Collections.Immutable;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>What a network asks for at one of its inputs.</summary>
/// <param name="Name">Name of the input.</param>
/// <param name="Type">Element type.</param>
/// <param name="Shape">Extents; a first extent that is no number is the batch.</param>
public sealed record SampleInput(string Name, ElementType Type, ImmutableArray<Dimension> Shape)
{
    /// <summary>The inputs that a caller of the network must pass, in order.</summary>
    /// <exception cref="Transformers.TransformRejectedException"><c>unsupported-input</c>: an input is no tensor of known rank.</exception>
    public static IReadOnlyList<SampleInput> Of(Graph graph) =>
    [
        .. graph.RequiredInputs.Select(i => i.Shape is { } shape && i.OpaqueType is null
            ? new SampleInput(i.Name, i.Type, shape)
            : throw new Transformers.TransformRejectedException("unsupported-input", $"Cannot feed the input '{i.Name}' from a dataset: it is no tensor of a known rank.")),
    ];

    /// <inheritdoc/>
    public override string ToString() => $"'{Name}' {Type}[{string.Join(",", Shape)}]";
}
