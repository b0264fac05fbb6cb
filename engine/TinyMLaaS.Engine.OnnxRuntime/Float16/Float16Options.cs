using System.ComponentModel;

namespace TinyMLaaS.Engine.OnnxRuntime.Float16;

/// <summary>Options of <c>compiler/float16</c>.</summary>
public sealed record Float16Options
{
    /// <summary>Inputs and outputs stay float32.</summary>
    [Description("Leave the network's inputs and outputs float32, so that callers see no difference.")]
    public bool KeepIo { get; init; } = true;

    /// <summary>Names of nodes that stay float32.</summary>
    [Description("Names of nodes that stay float32. A name that no node has is an error.")]
    public IReadOnlyList<string> Exclude { get; init; } = [];
}
