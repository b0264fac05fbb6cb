using System.Net.Http.Json;
using System.Threading.Channels;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;
using Serilog;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.Orchestrator.Dispatching;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>
/// The orchestrator as a process would host it, on a database file, with a clock that only moves when told to. The workers are the test
/// itself: it announces them, reads what they are offered and answers as they would.
/// </summary>
internal sealed class OrchestratorHost : IAsyncDisposable
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(120);

    private readonly WebApplication _app;
    private readonly Outside _outside;

    private OrchestratorHost(WebApplication app, Outside outside, FakeTimeProvider time, string socket)
    {
        _app = app;
        _outside = outside;
        Time = time;
        Http = new HttpClient(ServiceAddress.Parse($"unix:{socket}").CreateHandler()) { BaseAddress = new Uri("http://localhost/") };
        Http.DefaultRequestHeaders.Add(ServiceHeaders.Tenant, Tenants.Default);
    }

    public FakeTimeProvider Time { get; }

    public HttpClient Http { get; }

    public IBus Bus => _app.Services.GetRequiredService<IBus>();

    public IServiceProvider Services => _app.Services;

    /// <summary>The endpoints of the bus, by queue.</summary>
    public StoppableEndpoints Endpoints => _outside.Endpoints;

    /// <summary>Every stop order published, in the order of arrival.</summary>
    public ChannelReader<object> Published => _outside.Published.Reader;

    public static async Task<OrchestratorHost> StartAsync(
        string folder, Action<Dictionary<string, string?>>? configure = null, FakeTimeProvider? time = null, ServiceBus bus = ServiceBus.InMemory,
        Action<IServiceCollection>? services = null)
    {
        time ??= new FakeTimeProvider(new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero));
        var settings = new Dictionary<string, string?>
        {
            ["Orchestrator:Database"] = Path.Combine(folder, "orchestrator.db"),
            ["Orchestrator:MigrateAtStart"] = "true",
            ["Orchestrator:WorkersShareProcess"] = "true",
            ["Orchestrator:RetrySeconds"] = "0",
            ["Orchestrator:RetryJitter"] = "0",
        };
        configure?.Invoke(settings);
        var outside = new Outside(time, services);
        var socket = Path.Combine(folder, $"{Guid.NewGuid():N}.sock"[^16..]);
        var app = ServiceHost.Build(
            [outside, new OrchestratorModule()],
            [new ServiceListener("orchestrator", null, socket)],
            settings,
            new LoggerConfiguration().MinimumLevel.Warning().WriteTo.File(Path.Combine(folder, "log.txt"), shared: true).CreateLogger(),
            bus);
        await app.StartAsync();
        // What is published before its queue is there is lost.
        var control = app.Services.GetRequiredService<IBusControl>();
        await UntilAsync(() => Task.FromResult(control.CheckHealth().Status == BusHealthStatus.Healthy));
        return new OrchestratorHost(app, outside, time, socket);
    }

    /// <summary>Says that a worker of this kind is there.</summary>
    public async Task AnnounceAsync(string worker, int slots, params string[] transformers)
    {
        await Bus.Publish(new WorkerAnnounced
        {
            Worker = worker,
            Instance = $"{worker}-1",
            Queue = $"v1.offer.any.{worker}",
            Slots = slots,
            Transformers = [.. transformers.Select(t => Descriptor(t))],
            At = Time.GetUtcNow(),
        });
        await UntilAsync(() => Task.FromResult(Services.GetRequiredService<WorkerPools>().Current().TryGetValue(worker, out var pool) && pool.Slots == slots));
    }

    public Task<Response<RunAccepted>> SubmitAsync(SubmitRun command) => RequestAsync<SubmitRun, RunAccepted>(command);

    /// <summary>The next message of this kind that is published.</summary>
    public async Task<T> NextAsync<T>()
    {
        using var limit = new CancellationTokenSource(Limit);
        while (true)
        {
            if (await Published.ReadAsync(limit.Token) is T message)
                return message;
        }
    }

    /// <summary>Offers the first steps of runs as the dispatcher does that has found them; those that take a slot.</summary>
    public Task<IReadOnlySet<OfferStep>> MakeOffersAsync(params Guid[] runs) =>
        Services.GetRequiredService<StepOffers>().MakeAsync([.. runs.Select(run => new OfferStep(run, 1, "v1.offer.any.compiler", "1"))], CancellationToken.None);

    /// <summary>The next offer to the workers of a kind.</summary>
    public async Task<StepOffer> OfferAsync(string worker = "compiler")
    {
        StepOffer? offer = null;
        await UntilAsync(() =>
        {
            if (_outside.Offers[worker].Reader.TryRead(out offer))
                return Task.FromResult(true);
            // The clock may have moved while the dispatcher looked; it would look again after a second of a clock that now stands still.
            Services.GetRequiredService<RunChanges>().NotifyWork();
            return Task.FromResult(false);
        });
        return offer!;
    }

    public bool HasOffer(string worker = "compiler") => _outside.Offers[worker].Reader.Count > 0;

    public async Task<object> ClaimAsync(StepOffer offer, string worker = "compiler-1") =>
        await AskAsync<ClaimAttempt, AttemptGranted, AttemptRefused>(new ClaimAttempt
        {
            Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = worker,
        });

    public async Task<string> BeatAsync(StepOffer offer, double progress = 0.5, string? activity = "working", string worker = "compiler-1", params string[] log) =>
        (await RequestAsync<Heartbeat, HeartbeatReply>(new Heartbeat
        {
            Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = worker,
            Progress = progress, Activity = activity, Log = log,
        })).Message.Verdict;

    public async Task<object> CompleteAsync(StepOffer offer, string kind = ArtifactKinds.Onnx, string worker = "compiler-1", IReadOnlyDictionary<string, double>? metrics = null, string? output = null) =>
        await AskAsync<CompleteAttempt, AttemptCommitted, AttemptRefused>(new CompleteAttempt
        {
            Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = worker,
            Outputs = offer.Uses == PipelineRun.Evaluator ? [] : [Runs.Artifact(output ?? $"output of {offer.Uses} at {offer.Step}", kind)],
            Report = Runs.Artifact($"report of {offer.Uses} at {offer.Step}", ArtifactKinds.Report),
            Metrics = metrics ?? new Dictionary<string, double>(),
        });

    public async Task<object> FailAsync(StepOffer offer, bool retryable, string code = "broken", string worker = "compiler-1") =>
        await AskAsync<FailAttempt, AttemptCommitted, AttemptRefused>(new FailAttempt
        {
            Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = worker,
            Failure = new Failure { Code = code, Message = "as the test wants it", Retryable = retryable },
        });

    public async Task<string> CancelAsync(Guid run) =>
        (await RequestAsync<CancelRun, CancelRunAccepted>(new CancelRun { Tenant = Tenants.Default, RunId = run, Reason = "as the test wants it" })).Message.State;

    public Task<object> ResumeAsync(Guid run, string? key = null, string tenant = Tenants.Default) =>
        AskAsync<ResumeRun, ResumeRunAccepted, ResumeRunRefused>(new ResumeRun { Tenant = tenant, RunId = run, Key = key });

    /// <summary>Takes the next offer and completes it.</summary>
    public async Task ToEndAsync(string worker = "compiler")
    {
        var offer = await OfferAsync(worker);
        Assert.IsType<AttemptGranted>(await ClaimAsync(offer, $"{worker}-1"));
        Assert.IsType<AttemptCommitted>(await CompleteAsync(offer, worker: $"{worker}-1"));
    }

    /// <summary>The run as HTTP shows it now.</summary>
    public async Task<RunResource> GetAsync(Guid run) =>
        (await Http.GetFromJsonAsync<RunResource>($"v1/runs/{run}", ContractJson.Options))!;

    /// <summary>The whole run as stored now.</summary>
    public async Task<PipelineRun> ReadAsync(Guid run) => await FindAsync(run) ?? throw new InvalidOperationException($"There is no run {run}.");

    /// <summary>The whole run as stored now; null when there is none.</summary>
    public async Task<PipelineRun?> FindAsync(Guid run)
    {
        await using var scope = Services.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        return await database.WholeRuns.Include(r => r.Events).Include(r => r.Log).AsNoTracking().SingleOrDefaultAsync(r => r.CorrelationId == run);
    }

    public async Task<PipelineRun> UntilAsync(Guid run, Func<PipelineRun, bool> condition)
    {
        PipelineRun? seen = null;
        await UntilAsync(async () => condition(seen = await ReadAsync(run)));
        return seen!;
    }

    /// <summary>Runs one sweep as of now; what it said.</summary>
    public Task<int> SweepAsync() => Services.GetRequiredService<Sweeper>().SweepAsync(CancellationToken.None);

    public async Task<Response<TAnswer>> RequestAsync<T, TAnswer>(T message) where T : class where TAnswer : class =>
        await Bus.CreateRequestClient<T>(RequestTimeout.After(s: 120)).GetResponse<TAnswer>(message);

    public async Task<object> AskAsync<T, TYes, TNo>(T message) where T : class where TYes : class where TNo : class
    {
        var response = await Bus.CreateRequestClient<T>(RequestTimeout.After(s: 120)).GetResponse<TYes, TNo>(message);
        return response.Message;
    }

    /// <summary>Stops as a process does that is told to.</summary>
    public Task StopAsync() => _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        SqliteConnection.ClearAllPools();
    }

    public static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var limit = new CancellationTokenSource(Limit);
        while (!await condition())
            await Task.Delay(10, limit.Token);
    }

    private static TransformerDescriptor Descriptor(string name) => new()
    {
        Name = name,
        Version = "1",
        Summary = name,
        Accepts = [ArtifactKinds.Onnx],
        Produces = ArtifactKinds.Onnx,
        Options = System.Text.Json.JsonElement.Parse("{}"),
    };

    /// <summary>The rest of the system: reads offers and stop orders, and brings the clock.</summary>
    private sealed class Outside(FakeTimeProvider time, Action<IServiceCollection>? services) : ServiceModule
    {
        public Dictionary<string, Channel<StepOffer>> Offers { get; } = new()
        {
            ["compiler"] = Channel.CreateUnbounded<StepOffer>(),
            ["installer"] = Channel.CreateUnbounded<StepOffer>(),
        };

        public StoppableEndpoints Endpoints { get; } = new();

        public Channel<object> Published { get; } = Channel.CreateUnbounded<object>();

        public override string Name => "outside";

        public override void AddServices(IHostApplicationBuilder builder)
        {
            builder.Services.Replace(ServiceDescriptor.Singleton<TimeProvider>(time));
            services?.Invoke(builder.Services);
        }

        public override void ConfigureBus(IBusRegistrationContext context, IBusFactoryConfigurator bus)
        {
            bus.ConnectEndpointConfigurationObserver(Endpoints);
            foreach (var (worker, channel) in Offers)
            {
                var queue = $"v1.offer.any.{worker}";
                bus.ReceiveEndpoint(queue, e =>
                {
                    e.UseDurableQueue(queue);
                    e.Handler<StepOffer>(c => channel.Writer.WriteAsync(c.Message).AsTask());
                });
            }
            bus.ReceiveEndpoint("outside", e =>
            {
                e.ConcurrentMessageLimit = 1;
                e.Handler<CancelAttempt>(c => Published.Writer.WriteAsync(c.Message).AsTask());
            });
        }
    }
}
