using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Rewriting;

namespace TinyMLaaS.Engine.Passes;

/// <summary>Rules, and then Transposes moved, which lets rules find more, until nothing moves any more.</summary>
internal sealed class FuseRounds(IReadOnlyList<Rule> rules) : Pass
{
    /// <summary>Times that Transposes are moved: real networks are done after one.</summary>
    private const int MostRounds = 4;

    public override string Name => "fuse";

    public override PassResult Apply(Model model, PassContext context)
    {
        var rewrite = new RewritePass(Name, rules);
        var move = new MoveTransposes();
        var applied = new List<Applied>();
        for (var round = 0; ; round++)
        {
            var rewritten = rewrite.Apply(model, context);
            applied.AddRange(rewritten.Applied);
            var moved = round < MostRounds ? move.Apply(model, context).Applied : [];
            applied.AddRange(moved);
            if (moved.Count == 0)
                return new PassResult { IsModified = applied.Count > 0, Applied = applied, Refused = rewritten.Refused };
        }
    }
}
