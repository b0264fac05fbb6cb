using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Persistence;

/// <summary>Registers the database of a service.</summary>
public static class ServiceDatabase
{
    private const string HistoryTable = "__ef_migrations_history";

    /// <summary>
    /// Registers <typeparamref name="TContext"/> on the database that <c>SECTION:Database</c> names (<see cref="DatabaseOptions"/>, validated at start), its
    /// migration as a run of its own, the check at start, and its part of the service's readiness.
    /// </summary>
    /// <typeparam name="TContext">The service's context, with the migrations of SQLite.</typeparam>
    /// <typeparam name="TPostgres">The same with the migrations of PostgreSQL.</typeparam>
    /// <param name="builder">Where to.</param>
    /// <param name="service">The service's name, whose readiness the database is part of.</param>
    /// <param name="section">The section of the service's options.</param>
    /// <param name="schema">The service's schema on PostgreSQL.</param>
    public static void AddServiceDatabase<TContext, TPostgres>(this IHostApplicationBuilder builder, string service, string section, string schema)
        where TContext : ServiceDbContext
        where TPostgres : TContext
    {
        var services = builder.Services;
        services.AddOptions<DatabaseOptions>(section).BindConfiguration(section).ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<DatabaseOptions>, DatabaseOptionsValidation>());
        DatabaseOptions Options(IServiceProvider provider) => provider.GetRequiredService<IOptionsMonitor<DatabaseOptions>>().Get(section);
        DatabaseAddress? address = null;
        // Once, since every context asks for it.
        DatabaseAddress Address(IServiceProvider provider) => address ??= DatabaseAddress.Parse(Options(provider).Database);
        void Configure(IServiceProvider provider, DbContextOptionsBuilder options) => options
            .Use(Address(provider), schema)
            .AddInterceptors(provider.GetServices<IInterceptor>());

        if (builder.Configuration.GetSection(section).Get<DatabaseOptions>() is { Database: var text } && IsPostgres(text))
            services.AddDbContextPool<TContext, TPostgres>(Configure);
        else
            services.AddDbContextPool<TContext>(Configure);
        services.AddSingleton<WriteTransactions<TContext>>();
        services.AddSingleton(provider => new DatabaseMigration<TContext>(
            provider.GetRequiredService<IServiceScopeFactory>(), section, Address(provider)));
        services.AddSingleton<IMigration>(provider => provider.GetRequiredService<DatabaseMigration<TContext>>());
        services.AddSingleton<IReadinessCheck>(provider => new DatabaseReadiness<TContext>(service, provider.GetRequiredService<IServiceScopeFactory>()));
        services.AddSingleton<IHostedService>(provider => new DatabaseStart<TContext>(
            provider.GetRequiredService<DatabaseMigration<TContext>>(),
            Options(provider).MigrateAtStart,
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<DatabaseStart<TContext>>>()));
    }

    /// <summary>Lets a context use a database; the history of migrations lies in the service's schema.</summary>
    public static DbContextOptionsBuilder Use(this DbContextOptionsBuilder options, DatabaseAddress address, string schema) => address.IsPostgres
        ? options.UseNpgsql(address.ConnectionString, postgres => postgres.MigrationsHistoryTable(HistoryTable, schema))
        : options.UseSqlite(address.ConnectionString).AddInterceptors(new SqliteConnectionSetup());

    // What cannot be read is refused at start, with all else that is wrong.
    private static bool IsPostgres(string text)
    {
        try
        {
            return DatabaseAddress.Parse(text).IsPostgres;
        }
        catch (FormatException)
        {
            return false;
        }
    }
}
