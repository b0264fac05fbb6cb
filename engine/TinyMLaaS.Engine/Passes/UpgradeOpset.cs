using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;

namespace TinyMLaaS.Engine.Passes;

/// <summary>Brings the model to opset 13 at least: the passes after it know no older one.</summary>
internal sealed class UpgradeOpset : Pass
{
    public override string Name => "upgrade-opset";

    public override PassResult Apply(Model model, PassContext context) => new() { IsModified = OpsetUpgrade.Apply(model) };
}
