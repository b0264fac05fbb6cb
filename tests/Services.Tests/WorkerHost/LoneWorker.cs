using System.Threading.Channels;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Orchestrator;

namespace TinyMLaaS.Services.Tests.WorkerHost;

/// <summary>
/// A worker with one slot and its store, on a clock that only moves when told to. The orchestrator is the test itself: it answers as it
/// is told, and an answer that throws is one that the worker never gets.
/// </summary>
internal sealed class LoneWorker : IAsyncDisposable
{
    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(60);

    private readonly WebApplication _app;
    private readonly TestOrchestrator _orchestrator;
    private readonly string _link;

    private readonly string _socket;
    private readonly HttpClient _http;

    private LoneWorker(WebApplication app, TestOrchestrator orchestrator, string socket, string link)
    {
        _app = app;
        _orchestrator = orchestrator;
        (_socket, _link) = (socket, link);
        _http = new HttpClient(ServiceAddress.Parse($"unix:{socket}").CreateHandler()) { BaseAddress = new Uri("http://localhost/") };
    }

    public FakeTimeProvider Time => _orchestrator.Time;

    public IBus Bus => _app.Services.GetRequiredService<IBus>();

    /// <summary>The store, also while the worker cannot reach it.</summary>
    public ArtifactStoreClient Store => new(_http);

    public Func<ClaimAttempt, object> OnClaim { set => _orchestrator.OnClaim = value; }

    public Func<Heartbeat, string> OnBeat { set => _orchestrator.OnBeat = value; }

    public Func<object, object> OnEnd { set => _orchestrator.OnEnd = value; }

    /// <summary>Every <see cref="CompleteAttempt"/> and <see cref="FailAttempt"/> as it came in, those included that got no answer.</summary>
    public ChannelReader<object> Ends => _orchestrator.Ends.Reader;

    public static AttemptGranted Granted(ClaimAttempt claim) => new() { Fence = claim.Fence, Lease = Lease, HeartbeatEvery = TimeSpan.FromSeconds(20) };

    /// <param name="folder">Where everything is kept.</param>
    /// <param name="transformer">What the worker can do.</param>
    /// <param name="withStore">False: nobody listens where the artifact-store should, until <see cref="BringStore"/>.</param>
    public static async Task<LoneWorker> StartAsync(string folder, ITransformer transformer, bool withStore = true)
    {
        var (socket, link) = (Path.Combine(folder, "a.sock"), Path.Combine(folder, "link.sock"));
        var orchestrator = new TestOrchestrator();
        var app = ServiceHost.Build(
            [orchestrator, new ArtifactStoreModule(), new TestWorkerModule("compiler", transformer)],
            [new ServiceListener("artifact-store", null, socket)],
            new Dictionary<string, string?>
            {
                ["Services:artifact-store"] = $"unix:{link}",
                ["ArtifactStore:Root"] = Path.Combine(folder, "artifacts"),
                ["Worker:WorkFolder"] = Path.Combine(folder, "work"),
                ["Worker:Slots"] = "1",
            },
            Serilog.Core.Logger.None);
        await app.StartAsync(TestContext.Current.CancellationToken);
        var worker = new LoneWorker(app, orchestrator, socket, link);
        if (withStore)
            worker.BringStore();
        return worker;
    }

    /// <summary>The artifact-store can be reached from here on.</summary>
    public void BringStore() => File.CreateSymbolicLink(_link, _socket);

    /// <summary>An offer of <c>compiler/fuse</c> on the text "net".</summary>
    public async Task<StepOffer> OfferAsync(long fence = 1, bool stored = true)
    {
        var input = Runs.Artifact("net", ArtifactKinds.Onnx);
        if (stored)
        {
            using var content = new MemoryStream("net"u8.ToArray());
            input = await Store.PutAsync(Tenants.Default, ArtifactKinds.Onnx, content, TestContext.Current.CancellationToken);
        }
        return new StepOffer
        {
            Tenant = Tenants.Default,
            RunId = Guid.NewGuid(),
            Step = 1,
            Attempt = 1,
            Fence = fence,
            Uses = "compiler/fuse",
            Version = "1",
            Input = input,
            Seed = 1,
            Recipe = new Recipe { ModelName = "model", Model = input, Steps = [] },
            ExpiresAt = Time.GetUtcNow() + TimeSpan.FromSeconds(5),
        };
    }

    public async Task SendAsync(StepOffer offer) =>
        await (await Bus.GetSendEndpoint(new Uri("queue:v1.offer.any.compiler"))).Send(offer, TestContext.Current.CancellationToken);

    public async Task<object> EndAsync()
    {
        using var limit = new CancellationTokenSource(OrchestratorHost.Limit);
        return await Ends.ReadAsync(limit.Token);
    }

    /// <summary>Lets time pass until the condition holds.</summary>
    public Task UntilAsync(Func<bool> condition) => OrchestratorHost.UntilAsync(() =>
    {
        if (condition())
            return Task.FromResult(true);
        Time.Advance(TimeSpan.FromSeconds(0.5));
        return Task.FromResult(false);
    });

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    private sealed class TestOrchestrator : ServiceModule
    {
        public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero));

        public Func<ClaimAttempt, object> OnClaim { get; set; } = Granted;

        public Func<Heartbeat, string> OnBeat { get; set; } = _ => HeartbeatVerdicts.Continue;

        public Func<object, object> OnEnd { get; set; } = _ => new AttemptCommitted { Fence = 1 };

        public Channel<object> Ends { get; } = Channel.CreateUnbounded<object>();

        public override string Name => "orchestrator";

        public override void AddServices(IHostApplicationBuilder builder) => builder.Services.Replace(ServiceDescriptor.Singleton<TimeProvider>(Time));

        public override void ConfigureBus(IBusRegistrationContext context, IBusFactoryConfigurator bus) => bus.ReceiveEndpoint("v1.orchestrator.runs", endpoint =>
        {
            endpoint.ConcurrentMessageLimit = 1;
            endpoint.Handler<ClaimAttempt>(c => c.RespondAsync(OnClaim(c.Message)));
            endpoint.Handler<Heartbeat>(c => c.RespondAsync(new HeartbeatReply { Verdict = OnBeat(c.Message) }));
            endpoint.Handler<CompleteAttempt>(c => EndAsync(c, c.Message));
            endpoint.Handler<FailAttempt>(c => EndAsync(c, c.Message));
        });

        private Task EndAsync(ConsumeContext context, object message)
        {
            Ends.Writer.TryWrite(message);
            return context.RespondAsync(OnEnd(message));
        }
    }
}
