using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using MassTransit;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.PipelineApi;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.PipelineApi;

/// <summary>pipeline-api on a real Kestrel before a real artifact-store and a fake orchestrator, with a folder of its own.</summary>
internal sealed class ApiUnderTest : IAsyncDisposable
{
    // A message that a process had in hand when it died leaves half a minute later.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly RunningServices _services;

    private ApiUnderTest(RunningServices services, FakeOrchestrator orchestrator)
    {
        _services = services;
        Orchestrator = orchestrator;
    }

    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public HttpClient Http => _services.Http;

    public FakeOrchestrator Orchestrator { get; }

    public IServiceProvider Services => _services.Services;

    /// <param name="folder">What is kept; another start with the same folder is a restart.</param>
    /// <param name="orchestrator">The orchestrator; one that takes everything on if left out.</param>
    /// <param name="without">A service that is left out.</param>
    /// <param name="extra">More options.</param>
    /// <param name="workers">Workers that announce themselves at once.</param>
    public static async Task<ApiUnderTest> StartAsync(
        TemporaryFolder folder, FakeOrchestrator? orchestrator = null, string? without = null, Dictionary<string, string?>? extra = null, IReadOnlyList<WorkerAnnounced>? workers = null)
    {
        orchestrator ??= new FakeOrchestrator();
        ServiceModule[] modules = [new PipelineApiModule(), new ArtifactStoreModule(), orchestrator];
        var settings = new Dictionary<string, string?>
        {
            ["PipelineApi:Database"] = folder["api.db"],
            ["PipelineApi:MigrateAtStart"] = "true",
            ["PipelineApi:ExpectedWorkers"] = "compiler,installer",
            ["PipelineApi:HandOverSeconds"] = "0.05",
            ["ArtifactStore:Root"] = folder["artifacts"],
        };
        foreach (var (key, value) in extra ?? [])
            settings[key] = value;
        var sockets = new Dictionary<string, string>
        {
            ["artifact-store"] = folder[$"store-{Guid.NewGuid():N}"[..12]],
            ["orchestrator"] = folder[$"orch-{Guid.NewGuid():N}"[..12]],
        };
        var api = new ApiUnderTest(await RunningServices.StartAsync([.. modules.Where(m => m.Name != without)], settings, sockets), orchestrator);
        foreach (var worker in workers ?? [TestTransformers.Compiler, TestTransformers.Installer])
            await api.AnnounceAsync(worker);
        return api;
    }

    /// <summary>Announces a worker and waits until it is heard.</summary>
    public async Task AnnounceAsync(WorkerAnnounced worker)
    {
        await Services.GetRequiredService<IBus>().Publish(worker, Cancellation);
        var presence = Services.GetRequiredService<TinyMLaaS.PipelineApi.Transformers.WorkerPresence>();
        await UntilAsync(() => Task.FromResult(presence.InstancesOf(worker.Worker) > 0 != worker.Leaving), $"the announcement of {worker.Worker}");
    }

    public async Task<ArtifactRef> UploadAsync(string text, string kind = "onnx")
    {
        using var answer = await Http.PostAsync($"/v1/artifacts?kind={kind}", new ByteArrayContent(Encoding.UTF8.GetBytes(text)), Cancellation);
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, Cancellation))!;
    }

    public Task<HttpResponseMessage> PostAsync(string path, string body, string type = "application/json", string? key = null) => SendAsync(HttpMethod.Post, path, body, type, key);

    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, string body, string type = "application/json", string? key = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = new StringContent(body, Encoding.UTF8, type) };
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        return await Http.SendAsync(request, Cancellation);
    }

    public async Task<JsonNode> GetAsync(string path) => JsonNode.Parse(await Http.GetStringAsync(path, Cancellation))!;

    /// <summary>The body of an answer of this status.</summary>
    public static async Task<JsonNode> BodyAsync(HttpResponseMessage answer, HttpStatusCode expected)
    {
        using (answer)
        {
            var text = await answer.Content.ReadAsStringAsync(Cancellation);
            Assert.True(expected == answer.StatusCode, $"{(int)answer.StatusCode}: {text}");
            return JsonNode.Parse(text)!;
        }
    }

    /// <summary>The problem of a refusal.</summary>
    public static async Task<Problem> ProblemAsync(HttpResponseMessage answer, HttpStatusCode status, string code)
    {
        using (answer)
        {
            var text = await answer.Content.ReadAsStringAsync(Cancellation);
            Assert.True(answer.Content.Headers.ContentType?.MediaType == "application/problem+json", $"{(int)answer.StatusCode}: {text}");
            var problem = JsonSerializer.Deserialize<Problem>(text, ContractJson.Options)!;
            Assert.Equal((status, code), (answer.StatusCode, problem.Code));
            Assert.Equal($"urn:tinymlaas:problem:{code}", problem.Type);
            return problem;
        }
    }

    public static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        deadline.CancelAfter(Patience);
        try
        {
            while (!await condition())
                await Task.Delay(20, deadline.Token);
        }
        catch (OperationCanceledException) when (!Cancellation.IsCancellationRequested)
        {
            Assert.Fail($"Waited {Patience.TotalSeconds} s for {what}.");
        }
    }

    public ValueTask DisposeAsync() => _services.DisposeAsync();
}
