using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.TestWorker.NoOp;

namespace TinyMLaaS.Integration.Tests.Stacks;

/// <summary>The services, each a process of its own, over a broker and a database; and workers.</summary>
internal sealed class Stack : IAsyncDisposable
{
    public static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    private readonly ServicePrograms _programs;
    private readonly string _broker;
    private readonly List<WebApplication> _workers = [];

    private Stack(string broker, string database, string? brokerPasswordFile)
    {
        _broker = broker;
        _programs = new ServicePrograms(broker, database) { BrokerPasswordFile = brokerPasswordFile };
        Url = new Uri(_programs.Address("pipeline-api") + "/");
        Http = new HttpClient(ServiceAddress.Parse(Url.AbsoluteUri).CreateHandler()) { BaseAddress = Url, Timeout = TimeSpan.FromMinutes(1) };
    }

    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>Of pipeline-api.</summary>
    public Uri Url { get; }

    public HttpClient Http { get; }

    /// <summary>The folder of the artifact-store.</summary>
    public string Artifacts => _programs.Artifacts;

    /// <param name="broker">Address of the broker.</param>
    /// <param name="database">Connection string of an empty database.</param>
    /// <param name="expected">Worker kinds without which pipeline-api is not ready.</param>
    /// <param name="without">A service that is left out.</param>
    /// <param name="environment">More options, of the orchestrator alone.</param>
    /// <param name="brokerPasswordFile">A file with the password at the broker, in place of that in the address.</param>
    /// <param name="options">More options, of every service.</param>
    public static async Task<Stack> StartAsync(
        string broker, string database, string expected, string? without = null, IReadOnlyDictionary<string, string>? environment = null, string? brokerPasswordFile = null,
        IReadOnlyDictionary<string, string>? options = null)
    {
        var stack = NotStarted(broker, database, brokerPasswordFile);
        await stack._programs.MigrateAsync();
        foreach (var service in ServicePrograms.ControlPlane.Where(s => s != without))
            await stack.StartServiceAsync(service, expected, service == "orchestrator" ? environment ?? options : options);
        return stack;
    }

    /// <summary>The same before anything of it was migrated or started.</summary>
    public static Stack NotStarted(string broker, string database, string? brokerPasswordFile = null) => new(broker, database, brokerPasswordFile);

    public ServerProcess Process(string service) => _programs.Processes[service];

    /// <summary>The port that a service listens on, or will.</summary>
    public int PortOf(string service) => new Uri(_programs.Address(service)).Port;

    /// <summary>Brings the database and the queues of a service to the version of its program, or of another assembly.</summary>
    public Task MigrateAsync(string service, string? assembly = null) => assembly is null ? _programs.RunAsync(service, "migrate") : _programs.RunProgramAsync(service, assembly, "migrate");

    /// <summary>Runs a verb of a service's program; its output.</summary>
    public Task<string> RunVerbAsync(string service, string verb, params string[] arguments) => _programs.RunAsync(service, [verb, .. arguments]);

    /// <summary>Starts a service that does not run, and waits until it answers.</summary>
    /// <param name="service">Its name, or that of a further instance: <c>orchestrator-2</c>.</param>
    /// <param name="expected">Worker kinds without which pipeline-api is not ready.</param>
    /// <param name="more">More options.</param>
    /// <param name="assembly">Another program than that of this version.</param>
    public Task StartServiceAsync(string service, string expected, IReadOnlyDictionary<string, string>? more = null, string? assembly = null)
    {
        var options = service.Split('-') switch
        {
            ["orchestrator", ..] => new Dictionary<string, string> { ["Orchestrator__RetrySeconds"] = "0.1", ["Orchestrator__LeaseSeconds"] = "5" },
            ["pipeline", "api", ..] => new Dictionary<string, string> { ["PipelineApi__ExpectedWorkers"] = expected },
            _ => [],
        };
        foreach (var (name, value) in more ?? new Dictionary<string, string>())
            options[name] = value;
        return _programs.StartAsync(service, options, assembly is null ? null : [assembly]);
    }

    /// <summary>Where a service listens: <c>http://127.0.0.1:PORT</c>.</summary>
    public string Address(string service) => _programs.Address(service);

    /// <summary>Starts the artifact-store on a disk of its own of so many MiB, which nobody else sees and which is gone with it.</summary>
    public Task StartStoreOnSmallDiskAsync(int size)
    {
        Directory.CreateDirectory(Artifacts);
        string[] own = Environment.UserName == "root" ? ["--mount"] : ["--user", "--map-root-user", "--mount"];
        return _programs.StartAsync("artifact-store", within: ["unshare", .. own, "sh", "-c", $"mount -t tmpfs -o size={size}m tmpfs '{Artifacts}' && exec \"$@\"", "sh"]);
    }

    /// <summary>Starts the worker <c>noop</c>, whose steps do nothing, as a process of its own.</summary>
    public Task StartNoOpAsync() => _programs.StartAsync(NoOpModule.Argument, program: [typeof(NoOpModule).Assembly.Location, NoOpModule.Argument]);

    /// <summary>Ends a service as a crash does.</summary>
    public Task KillAsync(string service) => _programs.KillAsync(service);

    /// <summary>Ends a service as an upgrade does.</summary>
    public Task StopAsync(string service) => _programs.StopAsync(service);

    /// <summary>Hosts workers in this process, on the same broker.</summary>
    public Task<WebApplication> StartWorkersAsync(params ServiceModule[] workers) => HostAsync(new Dictionary<string, string?>(), workers);

    /// <summary>Hosts services in this process, on the same broker, with more options.</summary>
    public async Task<WebApplication> HostAsync(IReadOnlyDictionary<string, string?> options, params ServiceModule[] workers)
    {
        var configuration = new Dictionary<string, string?>
        {
            ["Bus:Address"] = _broker,
            [ServiceClients.AddressKey("artifact-store")] = _programs.Address("artifact-store"),
            ["Worker:WorkFolder"] = Path.Combine(_programs.Folder, "work"),
            ["Worker:Slots"] = "2",
            ["Bus:PasswordFile"] = _programs.BrokerPasswordFile,
        };
        foreach (var (name, value) in options)
            configuration[name] = value;
        var app = ServiceHost.Build(workers, [.. workers.Select(w => new ServiceListener(w.Name, new IPEndPoint(IPAddress.Loopback, 0), null))], configuration, Serilog.Core.Logger.None, ServiceBus.RabbitMq);
        await app.StartAsync(Cancellation);
        _workers.Add(app);
        return app;
    }

    /// <summary>What is missing.</summary>
    public async Task<Readiness> ReadinessAsync()
    {
        using var answer = await Http.GetAsync("health/ready", Cancellation);
        return (await answer.Content.ReadFromJsonAsync<Readiness>(ContractJson.Options, Cancellation))!;
    }

    public Task ReadyAsync() => UntilAsync(async () => (await ReadinessAsync()).Missing.Count == 0, async () => JsonSerializer.Serialize(await ReadinessAsync()) + Outputs());

    public Task<string> UploadAsync(string content) => UploadAsync(System.Text.Encoding.UTF8.GetBytes(content));

    public async Task<string> UploadAsync(byte[] content)
    {
        using var answer = await Http.PostAsync("v1/artifacts?kind=onnx", new ByteArrayContent(content), Cancellation);
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, Cancellation))!.Digest;
    }

    /// <summary>Submits a run without the cache.</summary>
    public Task<HttpResponseMessage> SubmitAsync(string model, string? key, params string[] uses) =>
        SubmitAsync(model, key, JsonSerializer.SerializeToNode(new { steps = uses.Select(u => new { uses = u }) })!);

    /// <summary>Submits a run of a pipeline document without the cache.</summary>
    public Task<HttpResponseMessage> SubmitAsync(string model, string? key, JsonNode pipeline)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "v1/runs") { Content = JsonContent.Create(new { model, cache = false, pipeline }) };
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        return Http.SendAsync(request, Cancellation);
    }

    /// <summary>Submits a run that is accepted.</summary>
    public async Task<Guid> RunAsync(string model, params string[] uses) => await AcceptedAsync(SubmitAsync(model, null, uses));

    /// <summary>Submits a run of a pipeline document that is accepted.</summary>
    public async Task<Guid> RunAsync(string model, JsonNode pipeline) => await AcceptedAsync(SubmitAsync(model, null, pipeline));

    /// <summary>Submits until it is accepted, each time as the same request: a client cannot know whether the one before arrived.</summary>
    public async Task<Guid> AcceptedAsync(string model, string key, params string[] uses)
    {
        Guid? accepted = null;
        var last = "";
        await UntilAsync(
            async () =>
            {
                try
                {
                    using var answer = await SubmitAsync(model, key, uses);
                    var text = await answer.Content.ReadAsStringAsync(Cancellation);
                    last = $"{(int)answer.StatusCode}: {text}";
                    if (answer.StatusCode == HttpStatusCode.Accepted)
                        accepted = (Guid)JsonNode.Parse(text)!["id"]!;
                }
                catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !Cancellation.IsCancellationRequested)
                {
                    last = e.Message;
                }
                return accepted is not null;
            },
            () => Task.FromResult($"the run is not accepted: {last}{Outputs()}"));
        return accepted!.Value;
    }

    /// <summary>Asks for the end of a run.</summary>
    public async Task CancelAsync(Guid run)
    {
        using var answer = await Http.PostAsync($"v1/runs/{run}/cancel", null, Cancellation);
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
    }

    private static async Task<Guid> AcceptedAsync(Task<HttpResponseMessage> submitted)
    {
        using var answer = await submitted;
        var text = await answer.Content.ReadAsStringAsync(Cancellation);
        Assert.True(answer.StatusCode == HttpStatusCode.Accepted, $"{(int)answer.StatusCode}: {text}");
        return (Guid)JsonNode.Parse(text)!["id"]!;
    }

    public async Task<RunResource?> GetAsync(Guid run)
    {
        using var answer = await Http.GetAsync($"v1/runs/{run}", Cancellation);
        return answer.IsSuccessStatusCode ? await answer.Content.ReadFromJsonAsync<RunResource>(ContractJson.Options, Cancellation) : null;
    }

    /// <summary>True when a run is known to have ended; false also while nobody answers.</summary>
    public async Task<bool> HasEndedAsync(Guid run) => await TryAsync(() => GetAsync(run)) is { } seen && RunStates.IsTerminal(seen.State);

    /// <summary>Waits until all of them have ended.</summary>
    public async Task<IReadOnlyList<RunResource>> EndedAsync(IReadOnlyCollection<Guid> runs)
    {
        var ended = new Dictionary<Guid, RunResource>();
        await UntilAsync(
            async () =>
            {
                foreach (var run in runs.Where(r => !ended.ContainsKey(r)))
                {
                    if (await TryAsync(() => GetAsync(run)) is { } seen && RunStates.IsTerminal(seen.State))
                        ended[run] = seen;
                }
                return ended.Count == runs.Count;
            },
            async () => $"{runs.Count - ended.Count} of {runs.Count} runs have not ended: {JsonSerializer.Serialize(await TryAsync(() => GetAsync(runs.First(r => !ended.ContainsKey(r)))), ContractJson.Options)}{Outputs()}");
        return [.. runs.Select(r => ended[r])];
    }

    public static async Task UntilAsync(Func<Task<bool>> condition, Func<Task<string>> why)
    {
        var deadline = System.Diagnostics.Stopwatch.StartNew();
        while (!await condition())
        {
            if (deadline.Elapsed > Limit)
                Assert.Fail($"After {Limit.TotalSeconds} s: {await why()}");
            await Task.Delay(100, Cancellation);
        }
    }

    /// <summary>The newest lines of every process.</summary>
    public string Outputs() => _programs.Outputs();

    /// <summary>Stops the workers of this process as their own processes would be, and fails as those would.</summary>
    public async Task StopWorkersAsync()
    {
        foreach (var worker in _workers)
            await worker.StopAsync(Cancellation);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        foreach (var worker in _workers)
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(10));
            await worker.StopAsync(limit.Token);
            await worker.DisposeAsync();
        }
        await _programs.DisposeAsync();
    }

    // A request that meets a process that is down or just coming up is made again.
    private static async Task<RunResource?> TryAsync(Func<Task<RunResource?>> request)
    {
        try
        {
            return await request();
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !Cancellation.IsCancellationRequested)
        {
            return null;
        }
    }
}
