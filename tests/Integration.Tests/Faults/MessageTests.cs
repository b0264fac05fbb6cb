using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>F10 and F11: messages that come twice, late, out of order, that nobody can read, and that kill whoever takes them.</summary>
public sealed class MessageTests(FaultServers servers) : IClassFixture<FaultServers>
{
    private const string RunsQueue = "v1.orchestrator.runs";
    private const string Mark = "repeated-by-the-test";

    [Fact]
    public async Task Messages_that_come_twice_and_out_of_order_change_nothing()
    {
        // An offer that a slow machine lets expire is made again, as another attempt.
        await using var faulty = await servers.StackAsync(environment: new Dictionary<string, string> { ["Orchestrator__OfferSeconds"] = "60" });
        var stack = faulty.Stack;
        await stack.StartWorkersAsync(new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a"), TestTransformer.Append("tests/b", "+b")));
        await stack.ReadyAsync();
        await using var connection = await new ConnectionFactory { Uri = new Uri(faulty.BrokerAddress) }.CreateConnectionAsync(Stack.Cancellation);
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Stack.Cancellation);
        var shadow = await channel.QueueDeclareAsync(cancellationToken: Stack.Cancellation);
        await channel.QueueBindAsync(shadow.QueueName, RunsQueue, "", cancellationToken: Stack.Cancellation);
        var kept = new List<(BasicProperties Properties, byte[] Body)>();
        var repeated = 0;
        var random = new Random(1);
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += async (_, delivery) =>
        {
            if (delivery.BasicProperties.Headers?.ContainsKey(Mark) == true)
                return;
            var properties = new BasicProperties(delivery.BasicProperties);
            properties.Headers ??= new Dictionary<string, object?>();
            properties.Headers[Mark] = "yes";
            kept.Add((properties, delivery.Body.ToArray()));
            // Some of those that came so far, in any order, and so some of them several times.
            for (var i = 0; i < 2; i++)
            {
                var (again, body) = kept[random.Next(kept.Count)];
                await channel.BasicPublishAsync(RunsQueue, "", mandatory: false, again, body);
                Interlocked.Increment(ref repeated);
            }
        };
        await channel.BasicConsumeAsync(shadow.QueueName, autoAck: true, consumer, Stack.Cancellation);

        var model = await stack.UploadAsync("network");
        var runs = new List<Guid>();
        for (var i = 0; i < 10; i++)
            runs.Add(await stack.RunAsync(model, "tests/a", "tests/b"));
        var ended = await stack.EndedAsync(runs);
        await channel.CloseAsync(Stack.Cancellation);

        Assert.All(ended, run => Assert.Equal((RunStates.Succeeded, 1, 1), (run.State, run.Steps[0].Attempts.Count, run.Steps[1].Attempts.Count)));
        // Of each run: submission, and claim and completion of two steps.
        Assert.InRange(kept.Count, 10 * 5, int.MaxValue);
        Assert.InRange(repeated, 10 * 5, int.MaxValue);
        await faulty.HoldAsync(runs);
    }

    [Fact]
    public async Task What_nobody_can_read_is_put_aside_and_the_others_go_on()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        await stack.StartWorkersAsync(new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a")));
        await stack.ReadyAsync();
        string[] poison =
        [
            "neither JSON nor anything else",
            """{"messageId":"not a guid","messageType":["urn:message:TinyMLaaS.Contracts.Pipelines:SubmitRun"],"message":{}}""",
            """{"messageId":"7f1e0000-4ca4-0ae3-0000-08dc5a5a5a5a","messageType":["urn:message:TinyMLaaS.Contracts.Steps:ClaimAttempt"],"message":{"runId":"not a guid"}}""",
        ];

        await PublishAsync(faulty, [.. poison.Select(p => (Guid.NewGuid(), p))]);
        var run = await stack.RunAsync(await stack.UploadAsync("network"), "tests/a");

        Assert.Equal(RunStates.Succeeded, (await stack.EndedAsync([run]))[0].State);
        await Stack.UntilAsync(async () => (await faulty.QueuesAsync()).Contains($"{RunsQueue}_error\t{poison.Length}", StringComparison.Ordinal), async () => await faulty.QueuesAsync() + stack.Outputs());
    }

    [Fact]
    public async Task A_message_that_kills_its_handler_each_time_ends_in_the_dead_letters_and_the_others_go_on()
    {
        var killer = Guid.NewGuid();
        var environment = new Dictionary<string, string> { ["TINYML_FAILURE_POINT"] = $"message-{killer}" };
        await using var faulty = await servers.StackAsync(environment: environment);
        var stack = faulty.Stack;
        await stack.StartWorkersAsync(new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a")));
        await stack.ReadyAsync();

        await PublishAsync(faulty, [(killer, $$$"""{"messageId":"{{{killer}}}","messageType":["urn:message:TinyMLaaS.Contracts.Pipelines:CancelRun"],"message":{"tenant":"default","runId":"{{{Guid.NewGuid()}}}"}}""")]);
        var deaths = 0;
        while (!(await faulty.QueuesAsync()).Contains($"{RunsQueue}_dead\t1", StringComparison.Ordinal))
        {
            Assert.True(deaths <= 20, $"It is delivered after {deaths} deaths.{await faulty.QueuesAsync()}{stack.Outputs()}");
            if (!stack.Process("orchestrator").IsRunning)
            {
                deaths++;
                await stack.StartServiceAsync("orchestrator", "tests", environment);
            }
            await Task.Delay(100, Stack.Cancellation);
        }

        Assert.InRange(deaths, 5, 12);
        var run = await stack.RunAsync(await stack.UploadAsync("network"), "tests/a");
        Assert.Equal(RunStates.Succeeded, (await stack.EndedAsync([run]))[0].State);
    }

    private static async Task PublishAsync(FaultyStack faulty, IReadOnlyList<(Guid Id, string Body)> messages)
    {
        await using var connection = await new ConnectionFactory { Uri = new Uri(faulty.BrokerAddress) }.CreateConnectionAsync(Stack.Cancellation);
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true), Stack.Cancellation);
        foreach (var (id, body) in messages)
        {
            var properties = new BasicProperties { MessageId = id.ToString(), ContentType = "application/vnd.masstransit+json", Persistent = true };
            await channel.BasicPublishAsync(RunsQueue, "", mandatory: false, properties, System.Text.Encoding.UTF8.GetBytes(body), Stack.Cancellation);
        }
    }
}
