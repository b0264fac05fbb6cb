using Microsoft.EntityFrameworkCore;

namespace TinyMLaaS.Persistence.Outbox;

/// <summary>Statements that EF has no words for. The only thing put into them is the schema, which is a constant of the service.</summary>
internal static class OutboxSql
{
    /// <summary>Takes note of a message unless that was done before; the same statement on both databases.</summary>
    public static string InsertInbox(ServiceDbContext database) =>
        $$"""INSERT INTO {{Table(database, "inbox_messages")}} ("MessageId", "ConsumerId", "ConsumedAt") VALUES ({0}, {1}, {2}) ON CONFLICT DO NOTHING""";

    /// <summary>The oldest rows that are due and that nobody else takes at this moment; PostgreSQL.</summary>
    public static string SelectDue(ServiceDbContext database) =>
        $$"""SELECT * FROM {{Table(database, "outbox_messages")}} WHERE "DueAt" <= {0} ORDER BY "DueAt", "Position" LIMIT {1} FOR UPDATE SKIP LOCKED""";

    private static string Table(ServiceDbContext database, string name) => database.Database.IsNpgsql() ? $"{database.Schema}.{name}" : name;
}
