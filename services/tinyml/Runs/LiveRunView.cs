using System.Globalization;
using Spectre.Console;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>A table that redraws itself in a terminal.</summary>
internal sealed class LiveRunView(Terminal terminal, TimeProvider time) : IRunView
{
    private const int SignCells = 1;
    private const int BarCells = 12;
    private const int SecondsCells = 8;
    private const int Columns = 5;

    private static readonly Style Quiet = new(Color.Grey);

    private readonly Dictionary<string, long> _seenRunning = [];

    public Task<RunResource> ShowAsync(Func<Action<RunResource>, Task<RunResource>> follow) => terminal.Error
        .Live(Text.Empty)
        .AutoClear(false)
        .Overflow(VerticalOverflow.Crop)
        .Cropping(VerticalOverflowCropping.Top)
        .StartAsync(context => follow(run => context.UpdateTarget(Draw(run))));

    // Every width is ours: a table that sizes itself would fold what moves, and jump.
    private Table Draw(RunResource run)
    {
        var rows = RunRow.Of(run).ToList();
        var nameCells = rows.Max(r => r.Name.Length);
        var noteCells = Math.Max(10, terminal.Error.Profile.Width - SignCells - nameCells - BarCells - SecondsCells - 2 * Columns);
        var table = new Table().Border(TableBorder.None).HideHeaders();
        foreach (var cells in (int[])[SignCells, nameCells, BarCells, noteCells, SecondsCells])
            table.AddColumn(new TableColumn("").NoWrap().Width(cells).PadLeft(0).PadRight(1));
        foreach (var row in rows)
        {
            table.AddRow(
                Sign(row.State), new Text(row.Name), Bar(row), new Text(Cut(Note(row), noteCells), Quiet),
                new Text(Seconds(row) is { } seconds ? string.Create(CultureInfo.InvariantCulture, $"{seconds,6:0.0} s") : "", Quiet));
        }
        return table;
    }

    private static string Cut(string text, int cells) => text.Length <= cells ? text : text[..(cells - 1)] + "…";

    private static string Note(RunRow row) => row.State switch
    {
        StepStates.Succeeded when row.Cached => row.Detail.Length == 0 ? "from the cache" : $"{row.Detail} (cache)",
        StepStates.Succeeded or StepStates.Running => row.Detail,
        _ => row.Detail.Length > 0 ? row.Detail : row.State,
    };

    private static Text Sign(string state) => state switch
    {
        StepStates.Succeeded => new Text("✓", new Style(Color.Green)),
        StepStates.Failed => new Text("✗", new Style(Color.Red)),
        StepStates.Cancelled or StepStates.Skipped => new Text("-", Quiet),
        StepStates.Running => new Text("▸", new Style(Color.Blue)),
        _ => new Text("·", Quiet),
    };

    private static Markup Bar(RunRow row)
    {
        var share = row.State == StepStates.Succeeded ? 1 : row.State == StepStates.Running ? Math.Clamp(row.Progress, 0, 1) : 0;
        var full = (int)Math.Round(share * BarCells);
        return new Markup($"[{(row.State == StepStates.Succeeded ? "green" : "blue")}]{new string('━', full)}[/][grey]{new string('─', BarCells - full)}[/]");
    }

    private double? Seconds(RunRow row)
    {
        if (row.State != StepStates.Running)
            return row.Seconds;
        if (!_seenRunning.TryGetValue(row.Name, out var start))
            _seenRunning[row.Name] = start = time.GetTimestamp();
        return time.GetElapsedTime(start).TotalSeconds;
    }
}
