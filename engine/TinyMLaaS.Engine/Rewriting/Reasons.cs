using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

/// <summary>The reasons that rules have in common.</summary>
internal static class Reasons
{
    /// <summary>The value is a float constant that no caller can override.</summary>
    public static Blocked? NoFloatConstant(Value? value, string what) =>
        value is null ? new Blocked($"its {what} is left out")
        : value.Constant is null ? new Blocked($"its {what} '{value.Name}' is not constant")
        : value.IsInput ? new Blocked($"its {what} '{value.Name}' is a graph input, so a caller can override it")
        : value.Type != ElementType.Float ? new Blocked($"its {what} '{value.Name}' is {value.Type}, not Float")
        : null;

    /// <summary>The constant can be changed without anyone else noticing.</summary>
    public static Blocked? Shared(Value constant, Node reader, string what) =>
        constant.IsOutput ? new Blocked($"its {what} '{constant.Name}' is also a graph output")
        : constant.Uses.Count == 1 ? null
        : new Blocked($"its {what} '{constant.Name}' is also read by '{constant.Uses.FirstOrDefault(u => u.Node != reader).Node?.Label ?? reader.Label}'");

    /// <summary>The first node's result goes to the second and nowhere else.</summary>
    public static Blocked? ReadElsewhere(Node first, Node second) =>
        first.Outputs.Count != 1 ? new Blocked($"'{first.Label}' has more than one output")
        : first.Output.IsOutput ? new Blocked($"'{first.Output.Name}' between them is a graph output")
        : first.Output.Uses.Count == 1 ? null
        : new Blocked($"'{first.Output.Name}' between them is also read by '{first.Output.Uses.FirstOrDefault(u => u.Node != second).Node?.Label ?? second.Label}'");

    /// <summary>The node has no attribute but those that the rule accounts for, and no input more than it should.</summary>
    public static Blocked? Unexpected(Node node, int inputs, params ReadOnlySpan<string> attributes)
    {
        foreach (var name in node.Attributes.Keys)
        {
            if (!attributes.Contains(name))
                return new Blocked($"'{node.Label}' has the attribute '{name}', which {node.OpType} should not have");
        }
        return node.Inputs.Count > inputs ? new Blocked($"'{node.Label}' has {node.Inputs.Count} inputs, and {node.OpType} takes {inputs}") : null;
    }

    /// <summary>The constant has this shape.</summary>
    public static Blocked? NoVector(Value constant, long length, string what) =>
        constant.Constant!.Shape is [var extent] && extent == length ? null
        : new Blocked($"its {what} '{constant.Name}' has the shape [{string.Join(',', constant.Constant.Shape)}], not [{length}]");

    /// <summary>Every number is one.</summary>
    public static Blocked? NotFinite(ReadOnlySpan<float> values, string what)
    {
        foreach (var value in values)
        {
            if (!float.IsFinite(value))
                return new Blocked($"the {what} would not be finite");
        }
        return null;
    }
}
