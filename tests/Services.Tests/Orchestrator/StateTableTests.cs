using System.Collections.Concurrent;
using MassTransit;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>What happens on every event in every state: no pair is left to chance.</summary>
public sealed class StateTableTests(StateTableTests.Host fixture) : IClassFixture<StateTableTests.Host>
{
    // Commands to workers, and answers.
    private static readonly Type[] Sent = [typeof(StepOffer), typeof(CancelAttempt), typeof(CancelRunAccepted), typeof(ResumeRunAccepted)];

    // The event is about the newest attempt and comes from the worker that has or had it. Deadlines have not passed.
    private static readonly Dictionary<(string State, string Event), (string Answer, string Then)> Table = new()
    {
        [("Initial", "SubmitRun")] = ("accepted", "Accepted"),
        [("Initial", "ClaimAttempt")] = ("unknown-run", "Initial"),
        [("Initial", "Heartbeat")] = ("lost", "Initial"),
        [("Initial", "CompleteAttempt")] = ("unknown-run", "Initial"),
        [("Initial", "FailAttempt")] = ("unknown-run", "Initial"),
        [("Initial", "OfferExpired")] = ("", "Initial"),
        [("Initial", "LeaseExpired")] = ("", "Initial"),
        [("Initial", "QueueExpired")] = ("", "Initial"),
        [("Initial", "AttemptExpired")] = ("", "Initial"),
        [("Initial", "RunExpired")] = ("", "Initial"),
        [("Initial", "WorkerGone")] = ("", "Initial"),
        [("Initial", "CancelRun")] = ("unknown-run", "Initial"),
        [("Initial", "ResumeRun")] = ("unknown-run", "Initial"),
        [("Accepted", "SubmitRun")] = ("accepted", "Accepted"),
        [("Accepted", "ClaimAttempt")] = ("granted", "Running"),
        [("Accepted", "Heartbeat")] = ("lost", "Accepted"),
        [("Accepted", "CompleteAttempt")] = ("lease-lost", "Accepted"),
        [("Accepted", "FailAttempt")] = ("lease-lost", "Accepted"),
        [("Accepted", "OfferExpired")] = ("", "Accepted"),
        [("Accepted", "LeaseExpired")] = ("", "Accepted"),
        [("Accepted", "QueueExpired")] = ("", "Accepted"),
        [("Accepted", "AttemptExpired")] = ("", "Accepted"),
        [("Accepted", "RunExpired")] = ("", "Accepted"),
        [("Accepted", "WorkerGone")] = ("", "Accepted"),
        [("Accepted", "CancelRun")] = ("cancelled", "Cancelled"),
        [("Accepted", "ResumeRun")] = ("run-active", "Accepted"),
        [("Running", "SubmitRun")] = ("accepted", "Running"),
        [("Running", "ClaimAttempt")] = ("granted", "Running"),
        [("Running", "Heartbeat")] = ("continue", "Running"),
        [("Running", "CompleteAttempt")] = ("committed", "Succeeded"),
        [("Running", "FailAttempt")] = ("committed", "Failed"),
        [("Running", "OfferExpired")] = ("", "Running"),
        [("Running", "LeaseExpired")] = ("", "Running"),
        [("Running", "QueueExpired")] = ("", "Running"),
        [("Running", "AttemptExpired")] = ("", "Running"),
        [("Running", "RunExpired")] = ("", "Running"),
        [("Running", "WorkerGone")] = ("", "Running"),
        [("Running", "CancelRun")] = ("cancelling", "Cancelling"),
        [("Running", "ResumeRun")] = ("run-active", "Running"),
        [("Cancelling", "SubmitRun")] = ("accepted", "Cancelling"),
        [("Cancelling", "ClaimAttempt")] = ("run-ended", "Cancelling"),
        [("Cancelling", "Heartbeat")] = ("cancel", "Cancelling"),
        [("Cancelling", "CompleteAttempt")] = ("run-ended", "Cancelled"),
        [("Cancelling", "FailAttempt")] = ("committed", "Cancelled"),
        [("Cancelling", "OfferExpired")] = ("", "Cancelling"),
        [("Cancelling", "LeaseExpired")] = ("", "Cancelling"),
        [("Cancelling", "QueueExpired")] = ("", "Cancelling"),
        [("Cancelling", "AttemptExpired")] = ("", "Cancelling"),
        [("Cancelling", "RunExpired")] = ("", "Cancelling"),
        [("Cancelling", "WorkerGone")] = ("", "Cancelled"),
        [("Cancelling", "CancelRun")] = ("cancelling", "Cancelling"),
        [("Cancelling", "ResumeRun")] = ("run-cancelling", "Cancelling"),
        [("Succeeded", "SubmitRun")] = ("accepted", "Succeeded"),
        [("Succeeded", "ClaimAttempt")] = ("run-ended", "Succeeded"),
        [("Succeeded", "Heartbeat")] = ("lost", "Succeeded"),
        [("Succeeded", "CompleteAttempt")] = ("committed", "Succeeded"),
        [("Succeeded", "FailAttempt")] = ("run-ended", "Succeeded"),
        [("Succeeded", "OfferExpired")] = ("", "Succeeded"),
        [("Succeeded", "LeaseExpired")] = ("", "Succeeded"),
        [("Succeeded", "QueueExpired")] = ("", "Succeeded"),
        [("Succeeded", "AttemptExpired")] = ("", "Succeeded"),
        [("Succeeded", "RunExpired")] = ("", "Succeeded"),
        [("Succeeded", "WorkerGone")] = ("", "Succeeded"),
        [("Succeeded", "CancelRun")] = ("succeeded", "Succeeded"),
        [("Succeeded", "ResumeRun")] = ("run-succeeded", "Succeeded"),
        [("Failed", "SubmitRun")] = ("accepted", "Failed"),
        [("Failed", "ClaimAttempt")] = ("run-ended", "Failed"),
        [("Failed", "Heartbeat")] = ("lost", "Failed"),
        [("Failed", "CompleteAttempt")] = ("run-ended", "Failed"),
        [("Failed", "FailAttempt")] = ("committed", "Failed"),
        [("Failed", "OfferExpired")] = ("", "Failed"),
        [("Failed", "LeaseExpired")] = ("", "Failed"),
        [("Failed", "QueueExpired")] = ("", "Failed"),
        [("Failed", "AttemptExpired")] = ("", "Failed"),
        [("Failed", "RunExpired")] = ("", "Failed"),
        [("Failed", "WorkerGone")] = ("", "Failed"),
        [("Failed", "CancelRun")] = ("failed", "Failed"),
        [("Failed", "ResumeRun")] = ("running", "Running"),
        [("Cancelled", "SubmitRun")] = ("accepted", "Cancelled"),
        [("Cancelled", "ClaimAttempt")] = ("run-ended", "Cancelled"),
        [("Cancelled", "Heartbeat")] = ("lost", "Cancelled"),
        [("Cancelled", "CompleteAttempt")] = ("run-ended", "Cancelled"),
        [("Cancelled", "FailAttempt")] = ("committed", "Cancelled"),
        [("Cancelled", "OfferExpired")] = ("", "Cancelled"),
        [("Cancelled", "LeaseExpired")] = ("", "Cancelled"),
        [("Cancelled", "QueueExpired")] = ("", "Cancelled"),
        [("Cancelled", "AttemptExpired")] = ("", "Cancelled"),
        [("Cancelled", "RunExpired")] = ("", "Cancelled"),
        [("Cancelled", "WorkerGone")] = ("", "Cancelled"),
        [("Cancelled", "CancelRun")] = ("cancelled", "Cancelled"),
        [("Cancelled", "ResumeRun")] = ("running", "Running"),
    };

    public static TheoryData<string, string> Pairs()
    {
        var machine = new PipelineRunStateMachine();
        var pairs = new TheoryData<string, string>();
        foreach (var state in machine.States.Where(s => s != machine.Final))
        {
            foreach (var @event in machine.Events.Where(e => !e.Name.Contains('.', StringComparison.Ordinal)))
                pairs.Add(state.Name, @event.Name);
        }
        return pairs;
    }

    [Fact]
    public void Lists_every_state_and_every_event_of_the_machine() =>
        Assert.Equal(Table.Keys.Order(), Pairs().Select(p => (p.Data.Item1, p.Data.Item2)).Order());

    /// <summary>A new message about a run is handled in every state, or somebody else's to handle.</summary>
    [Fact]
    public void Every_message_about_a_run_is_an_event_of_the_machine_or_one_that_it_sends()
    {
        var messages = typeof(SubmitRun).Assembly.GetExportedTypes().Concat(typeof(PipelineRunStateMachine).Assembly.GetExportedTypes())
            .Where(t => t.GetMethod("<Clone>$") is not null && t.GetProperty("RunId") is not null)
            // What the run tells has a place in its log.
            .Where(t => t.GetProperty("Sequence") is null);

        Assert.Equal(
            messages.Except(Sent).Select(t => t.Name).Order(),
            Table.Keys.Select(k => k.Event).Distinct().Order());
        var machine = new PipelineRunStateMachine();
        Assert.Equal(
            machine.Events.Where(e => !e.Name.Contains('.', StringComparison.Ordinal)).Select(e => e.Name).Order(),
            typeof(PipelineRunStateMachine).GetProperties().Where(p => typeof(Event).IsAssignableFrom(p.PropertyType)).Select(p => p.PropertyType.GetGenericArguments().Single().Name).Order());
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public async Task Does_what_the_table_says(string state, string @event)
    {
        var (answer, then) = Table[(state, @event)];
        var (run, offer) = await BringToAsync(state);
        var before = await fixture.Running.FindAsync(run.RunId);
        Assert.Equal(state, before?.CurrentState ?? "Initial");

        Assert.Equal(answer, await SendAsync(@event, run, offer));

        var after = await fixture.Running.FindAsync(run.RunId);
        Assert.Equal(then, after?.CurrentState ?? "Initial");
        if (after is null)
            return;
        Assert.Equal(Enumerable.Range(1, after.Events.Count).Select(i => (long)i), after.Events.Select(e => e.Sequence).Order());
        // A deadline that has not passed is no deadline, and what has ended stays as it is.
        if (before is not null && ((before.IsTerminal && then == state) || @event.EndsWith("Expired", StringComparison.Ordinal)))
            Assert.Equal((before.Version, before.Sequence), (after.Version, after.Sequence));
    }

    private async Task<(SubmitRun Run, StepOffer Offer)> BringToAsync(string state)
    {
        var host = fixture.Running;
        var run = Runs.Of("compiler/fuse");
        if (state == "Initial")
        {
            var another = await BringToAsync("Accepted");
            return (run, another.Offer with { RunId = run.RunId });
        }
        await host.SubmitAsync(run);
        StepOffer offer;
        do
            offer = await host.OfferAsync();
        while (offer.RunId != run.RunId);
        if (state == "Accepted")
            return (run, offer);
        await host.ClaimAsync(offer);
        switch (state)
        {
            case "Succeeded":
                await host.CompleteAsync(offer);
                break;
            case "Failed":
                await host.FailAsync(offer, retryable: false);
                break;
            case "Cancelling":
                await host.CancelAsync(run.RunId);
                break;
            case "Cancelled":
                await host.CancelAsync(run.RunId);
                await host.FailAsync(offer, retryable: false, code: "cancelled");
                break;
        }
        return (run, offer);
    }

    private async Task<string> SendAsync(string @event, SubmitRun run, StepOffer offer)
    {
        var host = fixture.Running;
        static string Word(object answer) => answer switch
        {
            AttemptGranted => "granted",
            AttemptCommitted => "committed",
            AttemptRefused refused => refused.Code,
            _ => throw new InvalidOperationException(answer.ToString()),
        };
        switch (@event)
        {
            case "SubmitRun":
                return (await host.SubmitAsync(run)).Message.RunId == run.RunId ? "accepted" : "another run";
            case "ClaimAttempt":
                return Word(await host.ClaimAsync(offer));
            case "Heartbeat":
                return await host.BeatAsync(offer);
            case "CompleteAttempt":
                return Word(await host.CompleteAsync(offer));
            case "FailAttempt":
                return Word(await host.FailAsync(offer, retryable: false));
            case "CancelRun":
                var cancelled = await host.AskAsync<CancelRun, CancelRunAccepted, AttemptRefused>(new CancelRun { Tenant = run.Tenant, RunId = run.RunId });
                return cancelled is CancelRunAccepted accepted ? accepted.State : Word(cancelled);
            case "ResumeRun":
                var resumed = await host.ResumeAsync(run.RunId);
                return resumed is ResumeRunAccepted taken ? taken.State : ((ResumeRunRefused)resumed).Code;
            case "OfferExpired":
                return await fixture.Watch.PublishAsync(host.Bus, new OfferExpired { RunId = run.RunId, Fence = offer.Fence });
            case "LeaseExpired":
                return await fixture.Watch.PublishAsync(host.Bus, new LeaseExpired { RunId = run.RunId, Fence = offer.Fence });
            case "QueueExpired":
                return await fixture.Watch.PublishAsync(host.Bus, new QueueExpired { RunId = run.RunId, Step = 1 });
            case "AttemptExpired":
                return await fixture.Watch.PublishAsync(host.Bus, new AttemptExpired { RunId = run.RunId, Fence = offer.Fence });
            case "RunExpired":
                return await fixture.Watch.PublishAsync(host.Bus, new RunExpired { RunId = run.RunId });
            case "WorkerGone":
                return await fixture.Watch.PublishAsync(host.Bus, new WorkerGone { RunId = run.RunId, Fence = offer.Fence });
            default:
                throw new InvalidOperationException(@event);
        }
    }

    /// <summary>Nor does it offer a second time what is offered or runs.</summary>
    [Theory]
    [InlineData("Initial")]
    [InlineData("Accepted")]
    [InlineData("Running")]
    [InlineData("Cancelling")]
    [InlineData("Succeeded")]
    [InlineData("Failed")]
    [InlineData("Cancelled")]
    public async Task Offers_nothing_of_what_the_dispatcher_saw_too_long_ago(string state)
    {
        var (run, _) = await BringToAsync(state);
        var before = await fixture.Running.FindAsync(run.RunId);

        Assert.Empty(await fixture.Running.MakeOffersAsync(run.RunId));

        var after = await fixture.Running.FindAsync(run.RunId);
        Assert.Equal((before?.Version, before?.Sequence, before?.CurrentState), (after?.Version, after?.Sequence, after?.CurrentState));
    }

    public sealed class Host : IAsyncLifetime
    {
        private readonly TemporaryFolder _folder = new();

        internal OrchestratorHost Running { get; private set; } = null!;

        internal ConsumeWatch Watch { get; } = new();

        public async ValueTask InitializeAsync()
        {
            Running = await OrchestratorHost.StartAsync(_folder.Path);
            Running.Bus.ConnectConsumeObserver(Watch);
            await Running.AnnounceAsync("compiler", 1000, "compiler/fuse");
        }

        public async ValueTask DisposeAsync()
        {
            await Running.DisposeAsync();
            _folder.Dispose();
        }
    }

    /// <summary>Knows when a message that nobody answers was handled, and whether that went well.</summary>
    internal sealed class ConsumeWatch : IConsumeObserver
    {
        private readonly ConcurrentDictionary<Guid, TaskCompletionSource<string>> _waiting = new();

        public async Task<string> PublishAsync<T>(IBus bus, T message) where T : class
        {
            var id = NewId.NextGuid();
            var outcome = _waiting.GetOrAdd(id, _ => new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously));
            await bus.Publish(message, c => c.MessageId = id);
            return await outcome.Task.WaitAsync(OrchestratorHost.Limit);
        }

        public Task PreConsume<T>(ConsumeContext<T> context) where T : class => Task.CompletedTask;

        public Task PostConsume<T>(ConsumeContext<T> context) where T : class
        {
            if (_waiting.TryGetValue(context.MessageId ?? Guid.Empty, out var outcome))
                outcome.TrySetResult("");
            return Task.CompletedTask;
        }

        public Task ConsumeFault<T>(ConsumeContext<T> context, Exception exception) where T : class
        {
            if (_waiting.TryGetValue(context.MessageId ?? Guid.Empty, out var outcome))
                outcome.TrySetException(exception);
            return Task.CompletedTask;
        }
    }
}
