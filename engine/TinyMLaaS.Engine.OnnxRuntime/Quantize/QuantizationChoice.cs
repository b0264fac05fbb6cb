using System.Collections.Immutable;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>What a search may vary. Nodes and tensors go by name, so that a choice holds for every copy of a network.</summary>
/// <param name="Method">How ranges are chosen.</param>
internal sealed record QuantizationChoice(CalibrationMethod Method)
{
    /// <summary>Tensors whose range is chosen in another way.</summary>
    public ImmutableDictionary<string, CalibrationMethod> Methods { get; init; } = ImmutableDictionary.Create<string, CalibrationMethod>(StringComparer.Ordinal);

    /// <summary>Nodes that stay float, by their first output, and why.</summary>
    public ImmutableDictionary<string, string> Float { get; init; } = ImmutableDictionary.Create<string, string>(StringComparer.Ordinal);

    /// <summary>What is added to the biases of operators, by first output; one number for each output channel.</summary>
    public IReadOnlyDictionary<string, float[]> BiasShifts { get; init; } = ImmutableDictionary<string, float[]>.Empty;

    public CalibrationMethod MethodOf(string tensor) => Methods.GetValueOrDefault(tensor, Method);
}
