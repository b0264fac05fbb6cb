using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>An operator whose weights became integers.</summary>
/// <param name="Node">The operator, as rewritten.</param>
/// <param name="Weight">Its weights and bias.</param>
/// <param name="Input">Grid of the activation that the weights meet.</param>
/// <param name="Output">Name of the float network's tensor that it makes, after the Relu or Clip that its rounding replaces.</param>
internal sealed record QuantizedLayer(Node Node, QuantizedWeight Weight, QuantizationParameters Input, string Output);
