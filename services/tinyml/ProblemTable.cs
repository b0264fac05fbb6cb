using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.Tinyml;

/// <summary>Violations for people.</summary>
internal static class ProblemTable
{
    public static IRenderable Of(IReadOnlyList<Violation> problems)
    {
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn(new TableColumn("step").RightAligned().NoWrap());
        table.AddColumn("field");
        table.AddColumn("code");
        table.AddColumn("message");
        foreach (var problem in problems)
        {
            table.AddRow(
                new Text(problem.Step?.ToString(CultureInfo.InvariantCulture) ?? ""), new Text(problem.Field),
                new Text(problem.Code), new Text(problem.Message));
        }
        return table;
    }
}
