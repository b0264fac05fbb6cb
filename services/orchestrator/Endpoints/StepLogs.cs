using System.Globalization;
using System.Text;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Endpoints;

/// <summary>What a request wants of the log of a step.</summary>
/// <param name="Follow">Text: go on until the step has ended.</param>
/// <param name="After">Only lines with a higher number.</param>
/// <param name="Attempt">Only lines of this attempt; null: of all.</param>
/// <param name="Wait">A page: how long to wait for a line when there is none.</param>
/// <param name="Size">A page: at most so many lines.</param>
internal sealed record LogQuery(bool Follow, int After, int? Attempt, TimeSpan Wait, int Size)
{
    private const int DefaultSize = 1000;
    private const int LargestSize = 5000;

    /// <summary>Reads the parameters; all that is wrong with them at once.</summary>
    public static bool TryRead(bool isPage, string? follow, string? after, string? attempt, string? wait, string? pageSize, out LogQuery query, out IReadOnlyList<Violation> violations)
    {
        var wrong = new List<Violation>();
        void Refuse(string field, string code, string message) => wrong.Add(new Violation { Field = field, Code = code, Message = message });
        int Number(string name, string? text, int least, int most, int absent)
        {
            if (text is null)
                return absent;
            if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most)
                return number;
            Refuse(name, "out-of-range", string.Create(CultureInfo.InvariantCulture, $"{name} is '{text}'. Expected a whole number from {least} to {most}."));
            return absent;
        }
        if (follow is not (null or "true" or "false"))
            Refuse("follow", "out-of-range", $"follow is '{follow}'. Expected true or false.");
        else if (isPage && follow == "true")
            Refuse("follow", "not-for-pages", "follow is for text/plain. As application/json a log is followed page by page: ask with wait=30s and after=POSITION of the page before, until one is marked as ended.");
        if (!Waiting.TryRead(wait, out var waits))
            Refuse("wait", "out-of-range", Waiting.Refusal(wait));
        else if (!isPage && wait is not null)
            Refuse("wait", "only-for-pages", "wait is for application/json. As text/plain a log is followed with follow=true.");
        if (!isPage && pageSize is not null)
            Refuse("page_size", "only-for-pages", "page_size is for application/json. As text/plain a log comes whole.");
        query = new LogQuery(
            follow == "true",
            Number("after", after, 0, int.MaxValue, 0),
            attempt is null ? null : Number("attempt", attempt, 1, int.MaxValue, 1),
            waits,
            Number("page_size", isPage ? pageSize : null, 1, LargestSize, DefaultSize));
        violations = wrong;
        return wrong.Count == 0;
    }
}

/// <summary>The log of one step as HTTP shows it: its lines in the order in which they came, each once.</summary>
internal sealed class LogReader(OrchestratorDbContext database, RunChanges changes, TimeProvider time, Guid run, int step)
{
    private const int Batch = 1000;
    private static readonly TimeSpan FallbackPoll = TimeSpan.FromSeconds(1);

    /// <summary>The lines after a position; where there is none yet, those that come within the wait.</summary>
    public async Task<StepLogPage> ReadPageAsync(LogQuery query, CancellationToken cancellation)
    {
        var start = time.GetTimestamp();
        using var watch = changes.Watch(run);
        while (true)
        {
            var change = watch.Next();
            var ended = await HasEndedAsync(cancellation);
            var lines = await LinesAsync(query, query.After, query.Size + 1, cancellation);
            var left = query.Wait - time.GetElapsedTime(start);
            if (lines.Count > 0 || ended || left <= TimeSpan.Zero)
            {
                StepLogEntry[] items = [.. lines.Take(query.Size).Select(l => new StepLogEntry { Number = l.Number, Attempt = l.Attempt == 0 ? null : l.Attempt, Text = l.Text })];
                return new StepLogPage { Items = items, Position = items.Length > 0 ? items[^1].Number : query.After, Ended = ended && lines.Count <= query.Size };
            }
            await Waiting.ForAsync(change, left < FallbackPoll ? left : FallbackPoll, time, cancellation);
        }
    }

    /// <summary>Writes the lines after a position, and those to come where that is asked for.</summary>
    public async Task WriteAsync(Stream body, LogQuery query, CancellationToken cancellation)
    {
        var after = query.After;
        using var watch = changes.Watch(run);
        while (true)
        {
            var change = watch.Next();
            var ended = await HasEndedAsync(cancellation);
            List<Line> lines;
            do
            {
                lines = await LinesAsync(query, after, Batch, cancellation);
                foreach (var line in lines)
                    await body.WriteAsync(Encoding.UTF8.GetBytes(line.Text + "\n"), cancellation);
                after = lines.Count > 0 ? lines[^1].Number : after;
            }
            while (lines.Count == Batch);
            await body.FlushAsync(cancellation);
            if (!query.Follow || ended)
                return;
            await Waiting.ForAsync(change, FallbackPoll, time, cancellation);
        }
    }

    /// <summary>Whether no more lines are to come. To be asked before the lines are read: those that come with the end are then among them.</summary>
    private async Task<bool> HasEndedAsync(CancellationToken cancellation) =>
        await database.Steps.AsNoTracking().Where(s => s.RunId == run && s.Position == step).Select(s => s.State).SingleAsync(cancellation)
            is StepStates.Succeeded or StepStates.Failed or StepStates.Cancelled or StepStates.Skipped;

    private async Task<List<Line>> LinesAsync(LogQuery query, int after, int most, CancellationToken cancellation)
    {
        var rows = await database.LogLines.AsNoTracking()
            .Where(l => l.RunId == run && l.Step == step && l.Last > after && (query.Attempt == null || l.Attempt == query.Attempt))
            .OrderBy(l => l.Last).Take(most).ToListAsync(cancellation);
        return [.. rows.SelectMany(r => r.Each().Select(l => new Line(l.Number, r.Attempt, l.Text))).Where(l => l.Number > after).Take(most)];
    }

    private sealed record Line(int Number, int Attempt, string Text);
}
