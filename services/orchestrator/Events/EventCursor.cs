using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Events;

/// <summary>How far somebody has come in the log of all events. Its row is also the lock of whoever moves it: one at a time, in any number of processes.</summary>
internal sealed class EventCursor
{
    /// <summary>The newest position that was given.</summary>
    public const string Newest = "newest";

    /// <summary>The newest position that the broker has confirmed.</summary>
    public const string Published = "published";

    public required string Name { get; init; }

    public required long Position { get; set; }
}

internal sealed class EventCursorConfiguration : IEntityTypeConfiguration<EventCursor>
{
    public void Configure(EntityTypeBuilder<EventCursor> builder)
    {
        builder.ToTable("event_cursors");
        builder.HasKey(c => c.Name);
        builder.HasData(new EventCursor { Name = EventCursor.Newest, Position = 0 }, new EventCursor { Name = EventCursor.Published, Position = 0 });
    }
}

internal static class EventCursorQueries
{
    /// <summary>The position as of the last commit.</summary>
    public static Task<long> ReadCursorAsync(this OrchestratorDbContext database, string name, CancellationToken cancellation) =>
        database.EventCursors.Where(c => c.Name == name).Select(c => c.Position).SingleAsync(cancellation);

    /// <summary>The same as <see cref="LockCursorAsync"/>, and null at once while somebody else has it.</summary>
    public static Task<EventCursor?> TryLockCursorAsync(this OrchestratorDbContext database, string name, CancellationToken cancellation) => database.Database.IsNpgsql()
        ? database.EventCursors.FromSql($"""SELECT * FROM orchestrator.event_cursors WHERE "Name" = {name} FOR UPDATE SKIP LOCKED""").AsAsyncEnumerable().SingleOrDefaultAsync(cancellation).AsTask()
        : database.EventCursors.SingleOrDefaultAsync(c => c.Name == name, cancellation);

    /// <summary>The cursor, with its row locked until the transaction ends. On SQLite the transaction itself is the lock.</summary>
    public static Task<EventCursor> LockCursorAsync(this OrchestratorDbContext database, string name, CancellationToken cancellation) => database.Database.IsNpgsql()
        ? database.EventCursors.FromSql($"""SELECT * FROM orchestrator.event_cursors WHERE "Name" = {name} FOR UPDATE""").AsAsyncEnumerable().SingleAsync(cancellation).AsTask()
        : database.EventCursors.SingleAsync(c => c.Name == name, cancellation);
}
