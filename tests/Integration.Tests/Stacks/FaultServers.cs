using System.Globalization;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Orchestration.Testing;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Stacks;

/// <summary>A broker and a database that a class may break. Each test gets a virtual host and a database of its own on them.</summary>
public class FaultServers : IAsyncLifetime
{
    private int _count;

    internal RabbitMqServer Broker { get; private set; } = null!;

    internal PostgresServer Database { get; private set; } = null!;

    private protected virtual Task<PostgresServer> StartDatabaseAsync() => PostgresServer.StartAsync();

    public async ValueTask InitializeAsync()
    {
        var (broker, database) = (RabbitMqServer.StartAsync(), StartDatabaseAsync());
        (Broker, Database) = (await broker, await database);
        var (brokerVersion, databaseVersion) = (await Broker.VersionAsync(), await Database.VersionAsync());
        Console.WriteLine($"{TestContext.Current.TestClass?.TestClassSimpleName}: RabbitMQ {brokerVersion} (process {Broker.Pid}), PostgreSQL {databaseVersion} (process {Database.Pid})");
    }

    /// <summary>The services over a virtual host and a database that nobody else uses.</summary>
    /// <param name="hosted">True for the broker's default virtual host, which a broker that lost everything has again.</param>
    /// <param name="environment">More options of the orchestrator.</param>
    /// <param name="brokerPasswordFile">A file with the password at the broker, in place of that in the address.</param>
    /// <param name="options">More options, of every service of the control plane.</param>
    internal async Task<FaultyStack> StackAsync(bool hosted = true, IReadOnlyDictionary<string, string>? environment = null, string? brokerPasswordFile = null, IReadOnlyDictionary<string, string>? options = null)
    {
        var (host, database) = await PlaceAsync(hosted);
        var stack = await Stack.StartAsync(Broker.Address(host), Database.ConnectionString(database), "tests", environment: environment, brokerPasswordFile: brokerPasswordFile, options: options);
        return new FaultyStack(stack, this, host == "%2F" ? "/" : host, database);
    }

    /// <summary>The same before anything of it was migrated or started.</summary>
    internal async Task<FaultyStack> NotStartedAsync()
    {
        var (host, database) = await PlaceAsync(hosted: true);
        return new FaultyStack(Stack.NotStarted(Broker.Address(host), Database.ConnectionString(database)), this, host, database);
    }

    public virtual async ValueTask DisposeAsync()
    {
        await Broker.DisposeAsync();
        await Database.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    private async Task<(string Host, string Database)> PlaceAsync(bool hosted)
    {
        var host = "%2F";
        if (hosted)
        {
            host = $"faults-{Interlocked.Increment(ref _count)}";
            await Broker.AddVirtualHostAsync(host);
        }
        var database = $"faults_{Interlocked.Increment(ref _count)}";
        await Database.ScalarAsync("postgres", $"CREATE DATABASE {database}");
        return (host, database);
    }
}

/// <summary>A stack whose servers a test breaks.</summary>
internal sealed class FaultyStack(Stack stack, FaultServers servers, string virtualHost, string database) : IAsyncDisposable
{
    /// <summary>Queues of what could not be handled end like this.</summary>
    private static readonly string[] Aside = ["_error", "_skipped", "_dead"];

    public Stack Stack => stack;

    public string VirtualHost => virtualHost;

    public string DatabaseName => database;

    public string Connection => servers.Database.ConnectionString(database);

    public string BrokerAddress => servers.Broker.Address(virtualHost == "/" ? "%2F" : virtualHost);

    /// <summary>Queues and their messages, one a line.</summary>
    public Task<string> QueuesAsync() => servers.Broker.ControlAsync("list_queues", "-p", virtualHost, "--no-table-headers", "name", "messages");

    /// <summary>How many events the log holds.</summary>
    public async Task<long> EventsAsync() => (long)(await servers.Database.ScalarAsync(database, "SELECT count(*) FROM orchestrator.run_events"))!;

    /// <summary>Waits until the outboxes are empty, then checks all invariants.</summary>
    /// <param name="runs">Those that were accepted.</param>
    /// <param name="subscribers">What subscribers got of their events.</param>
    public async Task HoldAsync(IReadOnlyCollection<Guid> runs, IReadOnlyList<SubscriberRecord>? subscribers = null)
    {
        await Stack.UntilAsync(
            async () => (long)(await servers.Database.ScalarAsync(database, "SELECT (SELECT count(*) FROM orchestrator.outbox_messages) + (SELECT count(*) FROM pipeline_api.outbox_messages)"))! == 0,
            () => Task.FromResult("an outbox is not empty" + stack.Outputs()));
        var places = (await QueuesAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split('\t'))
            .Where(queue => queue is [_, _] && Aside.Any(end => queue[0].EndsWith(end, StringComparison.Ordinal)))
            .ToDictionary(queue => queue[0], queue => long.Parse(queue[1], CultureInfo.InvariantCulture));
        var address = DatabaseAddress.Parse(Connection);
        var options = (DbContextOptions<OrchestratorPostgresDbContext>)new DbContextOptionsBuilder<OrchestratorPostgresDbContext>().Use(address, OrchestratorDbContext.SchemaName).Options;
        await using var rows = new OrchestratorPostgresDbContext(options);
        var violations = await Invariants.CheckAsync(rows, new InvariantScope { Quiet = true, Undelivered = places, Artifacts = OpenAsync, Subscribers = subscribers ?? [] }, Stack.Cancellation);
        Assert.True(violations.Count == 0, string.Join(Environment.NewLine, violations));
        // The checker knows what the orchestrator knows; that it knows every run that was accepted is ours to say.
        var known = await rows.Runs.Select(r => r.CorrelationId).ToListAsync(Stack.Cancellation);
        Assert.Empty(runs.Except(known));
    }

    public ValueTask DisposeAsync() => stack.DisposeAsync();

    /// <summary>Where the artifact-store keeps an artifact.</summary>
    public string ArtifactPath(string tenant, string digest)
    {
        var hex = digest["sha256:".Length..];
        return Path.Combine(stack.Artifacts, tenant, "sha256", hex[..2], hex);
    }

    private Task<Stream?> OpenAsync(string tenant, string digest, CancellationToken cancellation)
    {
        var path = ArtifactPath(tenant, digest);
        return Task.FromResult<Stream?>(File.Exists(path) ? File.OpenRead(path) : null);
    }
}
