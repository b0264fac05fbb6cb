using System.Globalization;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>One line for each change, for pipes and logs.</summary>
internal sealed class PlainRunView(Terminal terminal, TimeProvider time) : IRunView
{
    private static readonly TimeSpan WorthSaying = TimeSpan.FromSeconds(3);

    private readonly Dictionary<string, string> _said = [];
    private long _lastWork = time.GetTimestamp();

    public Task<RunResource> ShowAsync(Func<Action<RunResource>, Task<RunResource>> follow) => follow(Update);

    private void Update(RunResource run)
    {
        var rows = RunRow.Of(run).ToList();
        if (rows.Any(r => r.State == StepStates.Running))
            _lastWork = time.GetTimestamp();
        var stuck = time.GetElapsedTime(_lastWork) >= WorthSaying;
        foreach (var row in rows)
        {
            // Not each percent: a line for each quarter.
            var quarter = row.State == StepStates.Running ? (int)(row.Progress * 4) * 25 : 0;
            var line = row.State switch
            {
                // That a step waits for the one before it needs no line; that nothing happens does.
                StepStates.Pending or StepStates.Offered => stuck && row.Detail is { Length: > 0 } why ? $"waits: {why}" : null,
                StepStates.Running => quarter == 0 ? "running" : $"running {quarter} %",
                StepStates.Succeeded => (row.Cached ? "done, from the cache" : $"done in {row.Seconds?.ToString("0.0", CultureInfo.InvariantCulture)} s") + (row.Detail is { Length: > 0 } d ? $", {d}" : ""),
                _ => row.Detail is { Length: > 0 } ? $"{row.State}: {row.Detail}" : row.State,
            };
            if (line is null || _said.GetValueOrDefault(row.Name) == line)
                continue;
            _said[row.Name] = line;
            terminal.Say($"{row.Name.Trim()}: {line}");
        }
    }
}
