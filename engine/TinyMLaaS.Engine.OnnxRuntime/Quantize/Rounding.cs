using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>The nodes that put a tensor on a grid and bring it back to floats.</summary>
internal static class Rounding
{
    /// <summary>Adds QuantizeLinear and DequantizeLinear, and between them a Clip where the grid uses fewer integers than its type has: QuantizeLinear saturates at the type's ends only.</summary>
    /// <param name="graph">The graph of the tensor.</param>
    /// <param name="tensor">What is rounded; its readers are left as they are.</param>
    /// <param name="grid">Where to.</param>
    /// <param name="scale">The grid's scale.</param>
    /// <param name="zero">The grid's zero point.</param>
    /// <param name="before">Where the nodes are put; null for the end.</param>
    /// <returns>The QuantizeLinear, and the rounded tensor.</returns>
    public static (Node Quantize, Value Rounded) Add(Graph graph, Value tensor, QuantizationParameters grid, Value scale, Value zero, Node? before)
    {
        var integers = graph.AddNode("QuantizeLinear", [tensor, scale, zero], $"{tensor.Name}_q", before);
        var quantize = integers.Producer!;
        if (grid.Bits < 8)
            integers = graph.AddNode("Clip", [integers, graph.AddConstant("least", Integer(grid, grid.MinimumInteger)), graph.AddConstant("most", Integer(grid, grid.MaximumInteger))], $"{tensor.Name}_c", before);
        return (quantize, graph.AddNode("DequantizeLinear", [integers, scale, zero], $"{tensor.Name}_dq", before));
    }

    /// <summary>The same, with constants of its own.</summary>
    public static (Node Quantize, Value Rounded) Add(Graph graph, Value tensor, QuantizationParameters grid, Node? before) =>
        Add(graph, tensor, grid, graph.AddConstant("scale", Tensor.Scalar(grid.Scale)), graph.AddConstant("zero", Integer(grid, grid.ZeroPoint)), before);

    private static Tensor Integer(QuantizationParameters grid, int value) => grid.Type == ElementType.UInt8 ? Tensor.Scalar((byte)value) : Tensor.Scalar((sbyte)value);
}
