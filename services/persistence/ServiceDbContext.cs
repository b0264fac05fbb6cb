using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Persistence.Outbox;

namespace TinyMLaaS.Persistence;

/// <summary>
/// What a service owns: a file of its own on SQLite, a schema of its own in the one database of PostgreSQL. The model is the same on both. A service has
/// one context for its code, whose migrations are those of SQLite, and one derived from it that only carries the migrations of PostgreSQL.
/// </summary>
/// <param name="options">Of the context itself or of the one derived from it.</param>
/// <param name="schema">The service's schema on PostgreSQL.</param>
/// <param name="hasInbox">True for a service that handles messages in transactions; all can send in them.</param>
public abstract class ServiceDbContext(DbContextOptions options, string schema, bool hasInbox) : DbContext(options)
{
    /// <summary>The service's schema on PostgreSQL.</summary>
    public string Schema => schema;

    /// <inheritdoc/>
    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder)
    {
        configurationBuilder.Properties<DateTimeOffset>().HaveConversion<UtcTicks>();
        // Bytes, as SQLite compares them: pages of a list must not depend on the language of the server.
        if (Database.IsNpgsql())
            configurationBuilder.Properties<string>().UseCollation("C");
    }

    /// <inheritdoc/>
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        if (Database.IsNpgsql())
            modelBuilder.HasDefaultSchema(schema);
        modelBuilder.ApplyConfigurationsFromAssembly(GetType().Assembly);
        modelBuilder.ApplyConfiguration(new OutboxMessageConfiguration());
        if (hasInbox)
            modelBuilder.ApplyConfiguration(new InboxMessageConfiguration());
    }
}
