using Microsoft.EntityFrameworkCore;

namespace TinyMLaaS.Persistence;

/// <summary>Options of a context that makes migrations and never connects.</summary>
public static class DesignTimeOptions
{
    /// <summary>For the migrations of SQLite.</summary>
    public static DbContextOptions<TContext> Sqlite<TContext>() where TContext : ServiceDbContext =>
        (DbContextOptions<TContext>)new DbContextOptionsBuilder<TContext>().Use(DatabaseAddress.Parse("design-time.db"), "").Options;

    /// <summary>For the migrations of PostgreSQL.</summary>
    public static DbContextOptions<TContext> Postgres<TContext>(string schema) where TContext : ServiceDbContext =>
        (DbContextOptions<TContext>)new DbContextOptionsBuilder<TContext>().Use(DatabaseAddress.Parse("Host=design-time;Database=design-time"), schema).Options;
}
