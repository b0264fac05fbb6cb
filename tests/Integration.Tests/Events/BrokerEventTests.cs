using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.Services.Tests.Orchestrator.Events;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Events;

/// <summary>What a subscriber gets from the broker, what it may do there, and what becomes of events when the broker goes away.</summary>
public sealed class BrokerEventTests(FaultServers servers) : IClassFixture<FaultServers>
{
    private const string Exchange = "tinymlaas.events";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_exchange_is_there_before_any_service_runs()
    {
        await servers.Broker.AddVirtualHostAsync("migrated");
        await servers.Database.ScalarAsync("postgres", "CREATE DATABASE migrated");
        await using var programs = new TinyMLaaS.Servers.Testing.ServicePrograms(servers.Broker.Address("migrated"), servers.Database.ConnectionString("migrated"));

        await programs.MigrateAsync();
        await programs.MigrateAsync();

        var exchanges = await servers.Broker.ControlAsync("list_exchanges", "-p", "migrated", "--no-table-headers", "name", "type", "durable", "auto_delete");
        Assert.Contains($"{Exchange}\ttopic\ttrue\tfalse", exchanges.Split('\n'));
    }

    [Fact]
    public async Task A_message_is_a_CloudEvent_in_binary_mode_under_its_routing_key()
    {
        await using var faulty = await servers.StackAsync();
        await using var connection = await ConnectAsync(faulty.BrokerAddress);
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Cancellation);
        await SubscribeAsync(channel, "all", "#");
        var run = (await RunAsync(faulty.Stack, 1))[0];

        var messages = new List<BasicGetResult>();
        while (messages.LastOrDefault()?.RoutingKey != "default.run.succeeded")
            messages.Add(await GetAsync(channel, "all"));

        // A step that is done before its first heartbeat has told no progress.
        Assert.Equal(
            ["default.run.accepted", "default.step.offered", "default.run.started", "default.step.started", "default.step.succeeded", "default.artifact.stored", "default.run.succeeded"],
            messages.Select(m => m.RoutingKey).Where(k => k != "default.step.progressed"));
        var document = await AsyncApiDocument.ReadAsync();
        var log = JsonNode.Parse(await faulty.Stack.Http.GetStringAsync("v1/events", Cancellation))!["items"]!.AsArray();
        Assert.Equal(log.Count, messages.Count);
        foreach (var (message, entry) in messages.Zip(log))
        {
            // The client library adds a header of its own, by which it knows what was confirmed.
            var attributes = message.BasicProperties.Headers!.Where(h => h.Key.StartsWith("cloudEvents:", StringComparison.Ordinal)).ToDictionary(h => h.Key, h => Encoding.UTF8.GetString((byte[])h.Value!));
            Assert.Equal(8, attributes.Count);
            var type = attributes["cloudEvents:type"];
            Assert.Empty(document.Check(document.HeadersOf(type), JsonSerializer.SerializeToNode(attributes)!));
            Assert.Empty(document.Check(document.PayloadOf(type), JsonNode.Parse(message.Body.Span)!));
            foreach (var name in (string[])["specversion", "id", "source", "type", "subject", "sequence", "position"])
                Assert.Equal((string?)entry![name], attributes[$"cloudEvents:{name}"]);
            Assert.Equal((DateTimeOffset)entry!["time"]!, DateTimeOffset.Parse(attributes["cloudEvents:time"], System.Globalization.CultureInfo.InvariantCulture));
            Assert.True(JsonNode.DeepEquals(entry["data"], JsonNode.Parse(message.Body.Span)));
            Assert.Equal(("application/json", DeliveryModes.Persistent, attributes["cloudEvents:id"]), (message.BasicProperties.ContentType, message.BasicProperties.DeliveryMode, message.BasicProperties.MessageId));
            Assert.StartsWith($"{run}:", attributes["cloudEvents:id"], StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_subscriber_may_read_what_is_its_tenants_and_nothing_else()
    {
        await using var faulty = await servers.StackAsync();
        await servers.Broker.ControlAsync("add_user", "reader", "secret");
        await servers.Broker.ControlAsync("set_permissions", "-p", faulty.VirtualHost, "reader", "^reader-", "^reader-", @"^(reader-.*|tinymlaas\.events)$");
        await servers.Broker.ControlAsync("set_topic_permissions", "-p", faulty.VirtualHost, "reader", Exchange, "^$", @"^default\.");
        var address = faulty.BrokerAddress.Replace("guest:guest", "reader:secret", StringComparison.Ordinal);
        await using var subscriber = await SampleSubscriber.CSharpAsync(address, "reader-events", "default.#");
        await subscriber.SubscribedAsync();
        await using var connection = await ConnectAsync(address);

        await RefusedAsync(connection, c => c.BasicPublishAsync(Exchange, "default.run.succeeded", mandatory: false, new BasicProperties(), "{}"u8.ToArray(), Cancellation).AsTask());
        await RefusedAsync(connection, c => c.BasicPublishAsync("v1.orchestrator.runs", "", mandatory: false, new BasicProperties(), "{}"u8.ToArray(), Cancellation).AsTask());
        await RefusedAsync(connection, c => c.QueueDeclareAsync("another", durable: true, exclusive: false, autoDelete: false, cancellationToken: Cancellation));
        await RefusedAsync(connection, c => c.BasicGetAsync("v1.orchestrator.runs", autoAck: true, Cancellation));
        await RefusedAsync(connection, c => c.ExchangeDeleteAsync(Exchange, cancellationToken: Cancellation));
        await RefusedAsync(connection, c => c.QueueBindAsync("reader-events", Exchange, "another.#", cancellationToken: Cancellation));
        await RefusedAsync(connection, c => c.QueueBindAsync("reader-events", Exchange, "#", cancellationToken: Cancellation));

        var run = (await RunAsync(faulty.Stack, 1))[0];
        var count = (int)await faulty.EventsAsync();
        await Stack.UntilAsync(() => Task.FromResult(subscriber.Received.Count >= count), () => Task.FromResult(subscriber.Output));
        Assert.Equal(Enumerable.Range(1, count).Select(i => $"{run}:{i}"), subscriber.Received.Select(e => e.Id));
    }

    [Fact]
    public async Task A_broker_that_lost_everything_gets_again_what_subscribers_had_not_read()
    {
        await using var faulty = await servers.StackAsync(hosted: false, new Dictionary<string, string> { ["Orchestrator__RepublishAfterSeconds"] = "10" });
        await using var subscriber = await SampleSubscriber.PythonAsync(faulty.BrokerAddress, "subscriber", "default.#");
        await subscriber.SubscribedAsync();
        var before = await RunAsync(faulty.Stack, 3);
        await subscriber.KillAsync();
        var read = await faulty.EventsAsync();
        // These are in its queue, which is lost.
        var unread = await RunAsync(faulty.Stack, 3, startWorkers: false);
        var lost = await faulty.EventsAsync() - read;
        await Stack.UntilAsync(
            async () => (await faulty.QueuesAsync()).Split('\n').Any(q => q.StartsWith("subscriber\t", StringComparison.Ordinal) && int.Parse(q.Split('\t')[1], System.Globalization.CultureInfo.InvariantCulture) >= lost),
            async () => await faulty.QueuesAsync());

        await servers.Broker.KillAsync();
        servers.Broker.DeleteData();
        await servers.Broker.StartAgainAsync();
        await subscriber.StartAgainAsync();
        var after = await RunAsync(faulty.Stack, 3, startWorkers: false);

        await SeesAllAsync(faulty, [subscriber], [.. before, .. unread, .. after]);
    }

    // Both get events to publish and both try: without the lock the broker would get them twice.
    [Fact]
    public async Task Of_two_orchestrators_one_publishes_at_a_time_and_the_other_goes_on_when_it_dies()
    {
        await using var faulty = await servers.StackAsync();
        await faulty.Stack.HostAsync(new Dictionary<string, string?> { ["Orchestrator:Database"] = faulty.Connection, ["Orchestrator:LeaseSeconds"] = "5" }, new OrchestratorModule());
        await using var connection = await ConnectAsync(faulty.BrokerAddress);
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Cancellation);
        await SubscribeAsync(channel, "all", "#");
        await using var subscriber = await SampleSubscriber.PythonAsync(faulty.BrokerAddress, "subscriber", "#");
        await subscriber.SubscribedAsync();

        var runs = await RunAsync(faulty.Stack, 30);
        var count = await faulty.EventsAsync();
        var published = new List<string>();
        while (published.Count < count)
            published.Add((await GetAsync(channel, "all")).BasicProperties.MessageId!);
        Assert.Equal(count, published.Distinct().Count());
        Assert.Equal(0u, await channel.MessageCountAsync("all", Cancellation));

        await faulty.Stack.KillAsync("orchestrator");
        var model = await faulty.Stack.UploadAsync("network");
        for (var i = 0; i < 10; i++)
            runs.Add(await faulty.Stack.RunAsync(model, "tests/a"));
        // The other one does all that is to be done.
        await Stack.UntilAsync(
            () => Task.FromResult(subscriber.Received.Count(e => EventTypes.Find(e.Type) == "run.succeeded") == runs.Count), () => Task.FromResult($"{subscriber.Output}{faulty.Stack.Outputs()}"));
        await faulty.Stack.StartServiceAsync("orchestrator", "tests");
        await faulty.Stack.EndedAsync(runs);

        await SeesAllAsync(faulty, [subscriber], runs);
    }

    /// <summary>Runs of one step, to their ends.</summary>
    internal static async Task<List<Guid>> RunAsync(Stack stack, int count, bool startWorkers = true)
    {
        if (startWorkers)
        {
            await stack.StartWorkersAsync(new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a")));
            await stack.ReadyAsync();
        }
        var model = await stack.UploadAsync("network");
        var runs = new List<Guid>();
        for (var i = 0; i < count; i++)
            runs.Add(await stack.RunAsync(model, "tests/a"));
        Assert.All(await stack.EndedAsync(runs), run => Assert.Equal(RunStates.Succeeded, run.State));
        return runs;
    }

    /// <summary>Waits until each has as many events as the log, then checks the invariants and what they got.</summary>
    internal static async Task SeesAllAsync(FaultyStack faulty, IReadOnlyList<SampleSubscriber> subscribers, IReadOnlyCollection<Guid> runs)
    {
        var count = await faulty.EventsAsync();
        foreach (var subscriber in subscribers)
        {
            await Stack.UntilAsync(
                () => Task.FromResult(subscriber.Received.Select(e => e.Id).Distinct().Count() >= count),
                () => Task.FromResult($"{subscriber.Name} has {subscriber.Received.Select(e => e.Id).Distinct().Count()} of {count} events: {subscriber.Output}{faulty.Stack.Outputs()}"));
        }
        await faulty.HoldAsync(runs, [.. subscribers.Select(s => EventRecords.Of(s.Name, s.Received))]);
    }

    private static async Task<IConnection> ConnectAsync(string address) => await new ConnectionFactory { Uri = new Uri(address) }.CreateConnectionAsync(Cancellation);

    private static async Task SubscribeAsync(IChannel channel, string queue, string pattern)
    {
        await channel.QueueDeclareAsync(queue, durable: true, exclusive: false, autoDelete: false, cancellationToken: Cancellation);
        await channel.QueueBindAsync(queue, Exchange, pattern, cancellationToken: Cancellation);
    }

    private static async Task<BasicGetResult> GetAsync(IChannel channel, string queue)
    {
        BasicGetResult? message = null;
        await Stack.UntilAsync(async () => (message = await channel.BasicGetAsync(queue, autoAck: true, Cancellation)) is not null, () => Task.FromResult($"nothing more comes to {queue}"));
        return message!;
    }

    // A channel of its own, confirmed, because what may not be published is told by the end of the channel.
    private static async Task RefusedAsync(IConnection connection, Func<IChannel, Task> act)
    {
        await using var channel = await connection.CreateChannelAsync(
            new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true), Cancellation);
        var error = await Assert.ThrowsAnyAsync<Exception>(() => act(channel));
        var reason = (error as OperationInterruptedException)?.ShutdownReason ?? channel.CloseReason;
        Assert.True(reason?.ReplyCode == Constants.AccessRefused, $"{error} {reason}");
    }
}

/// <summary>What subscribers got, as the invariant checker wants it.</summary>
internal static class EventRecords
{
    public static Orchestration.Testing.SubscriberRecord Of(string name, IEnumerable<CloudEvent> received) => new(
        name, Contracts.Tenants.Default,
        [.. received.Select(e => new Orchestration.Testing.ReceivedEvent((Guid)JsonNode.Parse(e.Data.GetRawText())!["runId"]!, long.Parse(e.Sequence, System.Globalization.CultureInfo.InvariantCulture), e.Type))]);
}
