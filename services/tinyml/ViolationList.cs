using Spectre.Console;
using Spectre.Console.Rendering;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.Tinyml;

/// <summary>Violations for people: where and what on one line, the message below. A table would leave the messages no room on 80 columns.</summary>
internal static class ViolationList
{
    public static IRenderable Of(IReadOnlyList<Violation> violations) => new Rows(violations.SelectMany(v => new IRenderable[]
    {
        new Text($"  {(v.Step is { } step ? $"step {step}  " : "")}{(v.Field.Length > 0 ? $"{v.Field}  " : "")}{v.Code}"),
        new Padder(new Text(v.Message), new Padding(4, 0, 0, 0)),
    }));
}
