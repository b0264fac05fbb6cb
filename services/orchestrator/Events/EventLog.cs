using System.Globalization;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Events;

/// <summary>Which events somebody wants.</summary>
/// <param name="Tenant">Whose.</param>
/// <param name="Run">Of one run; null: of all.</param>
/// <param name="Types">Of these types; none: of all.</param>
internal sealed record EventFilter(string Tenant, Guid? Run, IReadOnlyList<string> Types);

/// <summary>Reads the log in the order of positions.</summary>
internal static class EventLog
{
    private const string Steps = "io.tinymlaas.step.";
    private const string ArtifactStored = "io.tinymlaas.artifact.stored.v1";

    /// <summary>What comes after a position.</summary>
    /// <param name="database">The rows.</param>
    /// <param name="filter">Which events.</param>
    /// <param name="after">Positions up to this one are known.</param>
    /// <param name="size">How many events at most.</param>
    /// <param name="cancellation">Ends the wait.</param>
    public static async Task<EventPage> ReadAsync(OrchestratorDbContext database, EventFilter filter, long after, int size, CancellationToken cancellation)
    {
        // First: up to here nothing can appear any more, whatever becomes visible while the rows are read.
        var newest = await database.ReadCursorAsync(EventCursor.Newest, cancellation);
        if (newest <= after)
            return new EventPage { Items = [], Position = after };
        var query = database.Events.AsNoTracking().Where(e => e.Tenant == filter.Tenant && e.Position > after && e.Position <= newest);
        if (filter.Run is { } run)
            query = query.Where(e => e.RunId == run);
        if (filter.Types is { Count: > 0 } types)
            query = query.Where(e => types.Contains(e.Type));
        var events = await query.OrderBy(e => e.Position).Take(size).ToListAsync(cancellation);
        return new EventPage { Items = [.. events.Select(Show)], Position = events.Count == size ? events[^1].Position!.Value : newest };
    }

    /// <summary>An event that has its position, as subscribers get it.</summary>
    public static CloudEvent Show(RunEvent entry)
    {
        var data = JsonElement.Parse(entry.Data);
        return new CloudEvent
        {
            Id = string.Create(CultureInfo.InvariantCulture, $"{entry.RunId}:{entry.Sequence}"),
            Source = $"urn:tinymlaas:tenant:{entry.Tenant}",
            Type = entry.Type,
            Subject = SubjectOf(entry, data),
            Time = entry.At,
            Sequence = CloudEvent.WriteSequence(entry.Sequence),
            Position = entry.Position!.Value.ToString(CultureInfo.InvariantCulture),
            Data = data,
        };
    }

    private static string SubjectOf(RunEvent entry, JsonElement data) => entry.Type switch
    {
        ArtifactStored => $"artifacts/{data.GetProperty("artifact").GetProperty("digest").GetString()}",
        var type when type.StartsWith(Steps, StringComparison.Ordinal) => $"runs/{entry.RunId}/steps/{data.GetProperty("step").GetInt32()}",
        _ => $"runs/{entry.RunId}",
    };
}
