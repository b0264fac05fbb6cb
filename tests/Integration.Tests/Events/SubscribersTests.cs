using System.Net.Http.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.Orchestrator.Events;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Events;

/// <summary>I8 and P4: subscribers of every kind get every event, in order per run, whatever happens to them and to the broker.</summary>
public sealed class SubscribersTests(FaultServers servers) : IClassFixture<FaultServers>
{
    private const int Runs = 200;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_subscriber_gets_every_event_of_200_runs_through_its_own_death_and_a_restart_of_the_broker()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        await stack.StartWorkersAsync(new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a")));
        await stack.ReadyAsync();
        await using var csharp = await SampleSubscriber.CSharpAsync(faulty.BrokerAddress, "csharp", "default.#");
        await using var python = await SampleSubscriber.PythonAsync(faulty.BrokerAddress, "python", "#");
        await csharp.SubscribedAsync();
        await python.SubscribedAsync();
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var (stream, poll) = (new HttpSubscriber("the stream"), new HttpSubscriber("the long poll"));
        var (streaming, polling) = (stream.FollowAsync(stack.Http, StreamAsync, ending.Token), poll.FollowAsync(stack.Http, PollAsync, ending.Token));

        var model = await stack.UploadAsync("network");
        var runs = new List<Guid>();
        while (runs.Count < Runs / 2)
            runs.Add(await stack.RunAsync(model, "tests/a"));
        // Each dies in the middle, with events on their way to it.
        await InTheMiddleAsync(() => csharp.Received.Count);
        var before = (CSharp: csharp.Pid, Python: python.Pid, Broker: servers.Broker.Pid);
        await csharp.KillAsync();
        await python.KillAsync();
        stream.Kill();
        poll.Kill();
        while (runs.Count < Runs)
            runs.Add(await stack.RunAsync(model, "tests/a"));
        await csharp.StartAgainAsync();
        await python.StartAgainAsync();
        await servers.Broker.KillAsync();
        await servers.Broker.StartAgainAsync();
        Assert.All(await stack.EndedAsync(runs), run => Assert.Equal(RunStates.Succeeded, run.State));

        var count = await faulty.EventsAsync();
        Assert.True(count >= Runs * 7, $"{count} events");
        (string Name, Func<IReadOnlyList<CloudEvent>> Received)[] subscribers =
            [(csharp.Name, () => csharp.Received), (python.Name, () => python.Received), (stream.Name, () => stream.Received), (poll.Name, () => poll.Received)];
        foreach (var (name, received) in subscribers)
        {
            await Stack.UntilAsync(
                () => Task.FromResult(received().Select(e => e.Id).Distinct().Count() >= count),
                () => Task.FromResult($"{name} has {received().Select(e => e.Id).Distinct().Count()} of {count} events. {csharp.Output}{python.Output}{stack.Outputs()}"));
        }
        await ending.CancelAsync();
        await Task.WhenAll(streaming, polling);

        Assert.NotEqual(before, (csharp.Pid, python.Pid, servers.Broker.Pid));
        Assert.NotEqual(before.Broker, servers.Broker.Pid);
        Assert.Equal((1, 1), (stream.Deaths, poll.Deaths));
        await faulty.HoldAsync(runs, [.. subscribers.Select(s => EventRecords.Of(s.Name, s.Received()))]);
        Console.WriteLine($"SubscribersTests: {count} events of {Runs} runs; got {string.Join(", ", subscribers.Select(s => $"{s.Received().Count} by {s.Name}"))}");
    }

    private static Task InTheMiddleAsync(Func<int> received) =>
        Stack.UntilAsync(() => Task.FromResult(received() is > 100 and < Runs * 7), () => Task.FromResult($"{received()} events came"));

    private static async Task StreamAsync(HttpClient http, HttpSubscriber subscriber, CancellationToken cancellation)
    {
        await using var stream = await EventStream.FollowAsync(http, "v1/events", subscriber.Position, cancellation);
        while (true)
            subscriber.Take(await stream.ReadAsync(1));
    }

    private static async Task PollAsync(HttpClient http, HttpSubscriber subscriber, CancellationToken cancellation)
    {
        while (true)
        {
            var page = await http.GetFromJsonAsync<EventPage>($"v1/events?after={subscriber.Position}&wait=20s&page_size=50", ContractJson.Options, cancellation);
            subscriber.Take(page!.Items);
        }
    }

    /// <summary>Remembers what it got and the position of the last event, which is all that survives its death.</summary>
    private sealed class HttpSubscriber(string name)
    {
        private readonly List<CloudEvent> _received = [];
        private CancellationTokenSource? _life;
        private bool _dying;

        public string Name => name;

        public int Deaths { get; private set; }

        public string Position { get; private set; } = "0";

        public IReadOnlyList<CloudEvent> Received
        {
            get
            {
                lock (_received)
                    return [.. _received];
            }
        }

        /// <summary>The next events that come are lost with it: its connection goes before it has taken them.</summary>
        public void Kill() => _dying = true;

        public void Take(IReadOnlyList<CloudEvent> events)
        {
            if (_dying && events.Count > 0)
            {
                (_dying, Deaths) = (false, Deaths + 1);
                _life!.Cancel();
                throw new OperationCanceledException(_life.Token);
            }
            lock (_received)
                _received.AddRange(events);
            if (events is [.., var last])
                Position = last.Position;
        }

        public async Task FollowAsync(HttpClient http, Func<HttpClient, HttpSubscriber, CancellationToken, Task> live, CancellationToken end)
        {
            while (!end.IsCancellationRequested)
            {
                _life = CancellationTokenSource.CreateLinkedTokenSource(end);
                try
                {
                    await live(http, this, _life.Token);
                }
                catch (Exception e) when (e is OperationCanceledException or HttpRequestException or IOException)
                {
                    // Comes back with what it remembers.
                    await Task.Delay(TimeSpan.FromMilliseconds(100), CancellationToken.None);
                }
            }
        }
    }
}
