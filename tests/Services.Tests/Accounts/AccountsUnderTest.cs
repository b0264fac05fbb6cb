using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.PipelineApi;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.PipelineApi;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Services.Tests.Accounts;

/// <summary>All services in one process with the real orchestrator and store, and one worker.</summary>
internal sealed class AccountsUnderTest : IAsyncDisposable
{
    private static readonly string[] Behind = ["artifact-store", "orchestrator"];

    private readonly RunningServices _services;

    private AccountsUnderTest(RunningServices services) => _services = services;

    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public HttpClient Http => _services.Http;

    public IServiceProvider Services => _services.Services;

    /// <param name="folder">What is kept; another start with the same folder is a restart.</param>
    /// <param name="requireKey">False: this machine needs none.</param>
    /// <param name="extra">More options.</param>
    public static async Task<AccountsUnderTest> StartAsync(TemporaryFolder folder, bool requireKey, Dictionary<string, string?>? extra = null)
    {
        var settings = new Dictionary<string, string?>
        {
            ["PipelineApi:Database"] = folder["api.db"],
            ["PipelineApi:MigrateAtStart"] = "true",
            ["PipelineApi:ExpectedWorkers"] = "tests",
            ["PipelineApi:RequireKey"] = requireKey ? "true" : null,
            ["Orchestrator:Database"] = folder["orchestrator.db"],
            ["Orchestrator:MigrateAtStart"] = "true",
            ["Orchestrator:WorkersShareProcess"] = "true",
            ["ArtifactStore:Root"] = folder["artifacts"],
            ["Worker:WorkFolder"] = folder["work"],
        };
        foreach (var (key, value) in extra ?? [])
            settings[key] = value;
        var sockets = Behind.ToDictionary(s => s, s => folder[$"{s[..2]}{Guid.NewGuid():N}"[..10]]);
        return new AccountsUnderTest(await RunningServices.StartAsync(
            [new PipelineApiModule(), new OrchestratorModule(), new ArtifactStoreModule(), new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a"))], settings, sockets));
    }

    /// <summary>A server that needs keys, and the key of somebody who may do everything.</summary>
    public static async Task<(AccountsUnderTest Server, string Key)> StartWithKeyAsync(TemporaryFolder folder)
    {
        string key;
        await using (var local = await StartAsync(folder, requireKey: false))
            key = (await local.CreateKeyAsync(key: null, Tenants.Default, Scopes.All)).Key!;
        return (await StartAsync(folder, requireKey: true), key);
    }

    public async Task<KeyResource> CreateKeyAsync(string? key, string tenant, IEnumerable<string> scopes, int? days = null)
    {
        using var answer = await SendAsync(HttpMethod.Post, "/v1/keys", key, new { name = "of-a-test", tenant, scopes, days });
        var text = await answer.Content.ReadAsStringAsync(Cancellation);
        Assert.True(answer.StatusCode == HttpStatusCode.Created, text);
        return JsonSerializer.Deserialize<KeyResource>(text, ContractJson.Options)!;
    }

    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, string? key, object? body = null)
    {
        using var request = new HttpRequestMessage(method, path);
        if (key is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        if (body is string text)
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(text));
        else if (body is not null)
            request.Content = JsonContent.Create(body, options: ContractJson.Options);
        return await Http.SendAsync(request, Cancellation);
    }

    public async Task<JsonNode> JsonAsync(HttpMethod method, string path, string? key, object? body = null)
    {
        using var answer = await SendAsync(method, path, key, body);
        var text = await answer.Content.ReadAsStringAsync(Cancellation);
        Assert.True(answer.IsSuccessStatusCode, $"{method} {path}: {(int)answer.StatusCode}: {text}");
        return JsonNode.Parse(text)!;
    }

    /// <summary>Lets a key expire.</summary>
    public async Task ExpireAsync(Guid id)
    {
        await using var scope = Services.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>();
        var now = Services.GetRequiredService<TimeProvider>().GetUtcNow();
        var rows = Microsoft.EntityFrameworkCore.RelationalQueryableExtensions.FromSql<KeyRow>(database.Keys, $"SELECT * FROM api_keys WHERE Id = {id}");
        Assert.Equal(1, await Microsoft.EntityFrameworkCore.EntityFrameworkQueryableExtensions.ExecuteUpdateAsync(rows, set => set.SetProperty(k => k.ExpiresAt, now), Cancellation));
    }

    /// <summary>A model, a dataset, a pipeline, a key and a run that has succeeded.</summary>
    public async Task<Possessions> PossessAsync(string key, string tenant, string mark)
    {
        await ApiUnderTest.UntilAsync(async () => (await JsonAsync(HttpMethod.Get, "/v1/transformers", key))["items"]!.AsArray().Count > 0, "the worker");
        var model = (string)(await JsonAsync(HttpMethod.Post, "/v1/artifacts?kind=onnx", key, $"network of {mark}"))["digest"]!;
        var upload = (string)(await JsonAsync(HttpMethod.Post, "/v1/uploads?kind=onnx", key))["id"]!;
        var data = (string)(await JsonAsync(HttpMethod.Post, "/v1/artifacts?kind=dataset", key, $"data of {mark}"))["digest"]!;
        var named = (string)(await JsonAsync(HttpMethod.Post, "/v1/models", key, new { name = $"model-{mark}", artifact = model }))["id"]!;
        await JsonAsync(HttpMethod.Post, "/v1/datasets", key, new { name = $"data-{mark}", artifact = data });
        await JsonAsync(HttpMethod.Put, $"/v1/pipelines/pipeline-{mark}", key, new { steps = new[] { new { uses = "tests/a" } } });
        var run = (string)(await JsonAsync(HttpMethod.Post, "/v1/runs", key, new { model = named, pipeline = $"pipeline-{mark}" }))["id"]!;
        var ended = await JsonAsync(HttpMethod.Get, $"/v1/runs/{run}?wait=30s", key);
        Assert.Equal(RunStates.Succeeded, (string)ended["state"]!);
        var made = (string)ended["steps"]![0]!["outputs"]![0]!["digest"]!;
        var other = await CreateKeyAsync(key, tenant, [Scopes.RunsRead]);
        return new Possessions { Mark = mark, Model = named, Artifact = model, Upload = upload, Output = made, Data = data, Run = run, Key = other.Id.ToString(), Cached = (bool?)ended["steps"]![0]!["cached"] ?? false };
    }

    public ValueTask DisposeAsync() => _services.DisposeAsync();
}

/// <summary>What a tenant of a test has; every text in it is its alone.</summary>
internal sealed record Possessions
{
    public required string Mark { get; init; }

    public required string Model { get; init; }

    public required string Artifact { get; init; }

    public required string Upload { get; init; }

    public required string Output { get; init; }

    public required string Data { get; init; }

    public required string Run { get; init; }

    public required string Key { get; init; }

    public required bool Cached { get; init; }

    /// <summary>What nobody else may see.</summary>
    public IEnumerable<string> Ids => [Model, Artifact, Upload, Output, Data, Run, Key, $"model-{Mark}", $"data-{Mark}", $"pipeline-{Mark}"];
}
