using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Events;

/// <summary>Statements that EF has no words for; the same on both databases. The only thing put into them is the schema.</summary>
internal static class EventSql
{
    /// <summary>
    /// Numbers at most {1} events that have no position, from {0} + 1. In the order of their runs' logs: an event is committed after the one before it, so whoever sees it
    /// sees that one too.
    /// </summary>
    public static string GivePositions(OrchestratorDbContext database)
    {
        var events = database.Database.IsNpgsql() ? $"{database.Schema}.run_events" : "run_events";
        return $$"""
            UPDATE {{events}} SET "Position" = fresh."Number"
            FROM (
                SELECT "RunId" AS "Run", "Sequence" AS "At", {0} + row_number() OVER (ORDER BY "RunId", "Sequence") AS "Number"
                FROM {{events}} WHERE "Position" IS NULL ORDER BY "RunId", "Sequence" LIMIT {1}
            ) AS fresh
            WHERE "RunId" = fresh."Run" AND "Sequence" = fresh."At"
            """;
    }
}
