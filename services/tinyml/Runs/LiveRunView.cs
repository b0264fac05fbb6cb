using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>A table that redraws itself in a terminal.</summary>
internal sealed class LiveRunView(Terminal terminal, TimeProvider time) : IRunView
{
    private const int BarCells = 12;

    private static readonly Style Quiet = new(Color.Grey);

    private readonly Dictionary<string, long> _seenRunning = [];

    public Task<RunResource> ShowAsync(Func<Action<RunResource>, Task<RunResource>> follow) => terminal.Error
        .Live(Text.Empty)
        .AutoClear(false)
        .Overflow(VerticalOverflow.Crop)
        .Cropping(VerticalOverflowCropping.Top)
        .StartAsync(context => follow(run => context.UpdateTarget(Draw(run))));

    private Table Draw(RunResource run)
    {
        var table = new Table().Border(TableBorder.None).HideHeaders().Expand();
        table.AddColumn(new TableColumn("").NoWrap().Width(2));
        table.AddColumn(new TableColumn("").NoWrap());
        table.AddColumn(new TableColumn("").NoWrap().Width(BarCells));
        table.AddColumn(new TableColumn("").NoWrap());
        table.AddColumn(new TableColumn("").NoWrap().RightAligned().Width(8));
        foreach (var row in RunRow.Of(run))
        {
            table.AddRow(
                Sign(row.State),
                new Text(row.Name),
                Bar(row),
                new Text(Note(row), Quiet).Overflow(Overflow.Ellipsis),
                new Text(Seconds(row) is { } seconds ? string.Create(CultureInfo.InvariantCulture, $"{seconds:0.0} s") : "", Quiet));
        }
        return table;
    }

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

    private static IRenderable Bar(RunRow row)
    {
        var share = row.State == StepStates.Succeeded ? 1 : row.State == StepStates.Running ? Math.Clamp(row.Progress, 0, 1) : 0;
        var full = (int)Math.Round(share * BarCells);
        return new Columns(
            new Text(new string('━', full), new Style(row.State == StepStates.Succeeded ? Color.Green : Color.Blue)),
            new Text(new string('━', BarCells - full), Quiet)).Padding(0, 0).Collapse();
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
