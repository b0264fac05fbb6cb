using System.Net.Http.Json;
using System.Text;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Serilog;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Services.Tests.WorkerHost;

/// <summary>Orchestrator, artifact-store and workers in one process on one folder, as a process of standalone has them; no API before them.</summary>
internal sealed class SmallSystem : IAsyncDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly WebApplication _app;

    private SmallSystem(WebApplication app, string folder, string socket)
    {
        _app = app;
        WorkFolder = Path.Combine(folder, "work");
        Http = new HttpClient(ServiceAddress.Parse($"unix:{socket}").CreateHandler()) { BaseAddress = new Uri("http://localhost/"), Timeout = Limit };
        Http.DefaultRequestHeaders.Add(ServiceHeaders.Tenant, Tenants.Default);
    }

    public HttpClient Http { get; }

    public string WorkFolder { get; }

    public IBus Bus => _app.Services.GetRequiredService<IBus>();

    public ArtifactStoreClient Store => _app.Services.GetRequiredService<ArtifactStoreClient>();

    public static async Task<SmallSystem> StartAsync(string folder, IReadOnlyList<ServiceModule> workers, Action<Dictionary<string, string?>>? configure = null)
    {
        var (runs, store) = (Path.Combine(folder, "o.sock"), Path.Combine(folder, "a.sock"));
        var settings = new Dictionary<string, string?>
        {
            ["Orchestrator:Database"] = Path.Combine(folder, "orchestrator.db"),
            ["Orchestrator:MigrateAtStart"] = "true",
            ["Orchestrator:WorkersShareProcess"] = "true",
            ["Orchestrator:RetrySeconds"] = "0",
            ["Services:artifact-store"] = $"unix:{store}",
            ["ArtifactStore:Root"] = Path.Combine(folder, "artifacts"),
            ["Worker:WorkFolder"] = Path.Combine(folder, "work"),
            ["Worker:Slots"] = "2",
        };
        configure?.Invoke(settings);
        File.Delete(runs);
        File.Delete(store);
        var app = ServiceHost.Build(
            [new OrchestratorModule(), new ArtifactStoreModule(), .. workers],
            [new ServiceListener("orchestrator", null, runs), new ServiceListener("artifact-store", null, store)],
            settings,
            new LoggerConfiguration().MinimumLevel.Information().WriteTo.File(Path.Combine(folder, "log.txt"), shared: true, formatProvider: null).CreateLogger());
        await app.StartAsync(TestContext.Current.CancellationToken);
        return new SmallSystem(app, folder, runs);
    }

    public Task<ArtifactRef> PutAsync(string kind, string content) => PutAsync(kind, Encoding.UTF8.GetBytes(content));

    public async Task<ArtifactRef> PutAsync(string kind, byte[] content)
    {
        using var stream = new MemoryStream(content);
        return await Store.PutAsync(Tenants.Default, kind, stream, TestContext.Current.CancellationToken);
    }

    public async Task<string> ReadAsync(ArtifactRef artifact)
    {
        using var stream = new MemoryStream();
        await Store.GetAsync(Tenants.Default, artifact, stream, TestContext.Current.CancellationToken);
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    public async Task SubmitAsync(SubmitRun command) =>
        await Bus.CreateRequestClient<SubmitRun>(RequestTimeout.After(s: 30)).GetResponse<RunAccepted>(command, TestContext.Current.CancellationToken);

    /// <summary>The run at its end.</summary>
    public async Task<RunResource> EndAsync(Guid run)
    {
        var resource = await Http.GetFromJsonAsync<RunResource>($"v1/runs/{run}?wait=30s", ContractJson.Options, TestContext.Current.CancellationToken);
        Assert.True(RunStates.IsTerminal(resource!.State), $"The run is still {resource.State}.");
        return resource;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        SqliteConnection.ClearAllPools();
    }
}
