using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.WorkerHost;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>F12: a step that takes three times as long as the broker lets anyone hold a message.</summary>
public sealed class LongStepTests(ServersInUse use) : IClassFixture<ServersInUse>
{
    private static readonly TimeSpan Work = TimeSpan.FromMinutes(3);

    [Fact]
    public async Task A_step_of_three_minutes_takes_one_attempt_where_the_broker_waits_one_minute()
    {
        await using var broker = await RabbitMqServer.StartAsync("consumer_timeout = 60000");
        Console.WriteLine($"{nameof(LongStepTests)}: a broker of its own, process {broker.Pid}");
        await using var stack = await Stack.StartAsync(broker.Address("%2F"), await use.Servers.NewDatabaseAsync(), "tests", environment: new Dictionary<string, string> { ["Orchestrator__LeaseSeconds"] = "60" });
        await stack.StartWorkersAsync(new TestWorkerModule("tests", new TestTransformer("tests/sleep", (request, progress, cancellation) =>
        {
            cancellation.WaitHandle.WaitOne(Work);
            cancellation.ThrowIfCancellationRequested();
            return TestTransformer.Append("tests/sleep", "+slept").Transform(request, progress, cancellation);
        })));
        await stack.ReadyAsync();
        // Somebody who does hold a message is thrown out: the limit is there.
        await using var connection = await new ConnectionFactory { Uri = new Uri(broker.Address("%2F")) }.CreateConnectionAsync(Stack.Cancellation);
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Stack.Cancellation);
        var queue = await channel.QueueDeclareAsync(cancellationToken: Stack.Cancellation);
        await channel.BasicPublishAsync("", queue.QueueName, mandatory: true, new byte[] { 1 }, Stack.Cancellation);
        await channel.BasicConsumeAsync(queue.QueueName, autoAck: false, new AsyncEventingBasicConsumer(channel), Stack.Cancellation);

        var run = await stack.RunAsync(await stack.UploadAsync("network"), "tests/sleep");
        await Stack.UntilAsync(async () => (await stack.GetAsync(run))?.State == RunStates.Running, () => Task.FromResult("the step does not begin" + stack.Outputs()));
        await Task.Delay(Work, Stack.Cancellation);
        var ended = (await stack.EndedAsync([run]))[0];

        Assert.Equal((406, false), ((int?)channel.CloseReason?.ReplyCode, channel.IsOpen));
        Assert.Equal((RunStates.Succeeded, 1), (ended.State, ended.Steps[0].Attempts.Count));
        Assert.InRange(ended.Steps[0].Seconds!.Value, Work.TotalSeconds, 2 * Work.TotalSeconds);
    }
}
