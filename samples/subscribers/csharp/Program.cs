using System.Text;
using System.Text.Json.Nodes;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

// A subscriber: a durable queue of its own, bound to the events that it wants. Each event becomes one line on the standard output.
//   dotnet run --project samples/subscribers/csharp -- amqp://USER:PASSWORD@HOST:PORT/VHOST QUEUE 'default.run.*'
if (args is not [var address, var queue, var pattern])
{
    Console.Error.WriteLine("usage: subscriber ADDRESS QUEUE PATTERN, e.g. amqp://USER:PASSWORD@127.0.0.1:5672/ acme-ci 'acme.run.*'");
    return 2;
}
using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, key) =>
{
    key.Cancel = true;
    stop.Cancel();
};

// Events come at least once and in order per run, so what is not newer than the last of its run is a repetition. Who may not handle an event twice, not even after
// a crash, keeps this together with what the event did.
var newest = new Dictionary<string, string>();
while (!stop.IsCancellationRequested)
{
    try
    {
        await ConsumeAsync();
    }
    catch (OperationCanceledException) when (stop.IsCancellationRequested)
    {
    }
    catch (Exception e) when (e is BrokerUnreachableException or OperationInterruptedException or AlreadyClosedException or IOException)
    {
        Console.Error.WriteLine($"Not connected: {(e.InnerException ?? e).Message}");
        await Task.Delay(TimeSpan.FromSeconds(1));
    }
}
return 0;

async Task ConsumeAsync()
{
    var factory = new ConnectionFactory { Uri = new Uri(address), ClientProvidedName = queue, AutomaticRecoveryEnabled = false, RequestedHeartbeat = TimeSpan.FromSeconds(10) };
    await using var connection = await factory.CreateConnectionAsync(stop.Token);
    await using var channel = await connection.CreateChannelAsync(cancellationToken: stop.Token);
    // Durable, so that events wait here while this program does not run. Declaring it again changes nothing.
    await channel.QueueDeclareAsync(
        queue, durable: true, exclusive: false, autoDelete: false, new Dictionary<string, object?> { ["x-queue-type"] = "quorum" }, cancellationToken: stop.Token);
    await channel.QueueBindAsync(queue, "tinymlaas.events", pattern, cancellationToken: stop.Token);
    await channel.BasicQosAsync(prefetchSize: 0, prefetchCount: 50, global: false, stop.Token);

    var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    channel.ChannelShutdownAsync += (_, reason) =>
    {
        closed.TrySetException(new IOException($"the broker closed the channel: {reason.ReplyText}"));
        return Task.CompletedTask;
    };
    var consumer = new AsyncEventingBasicConsumer(channel);
    // A queue that is deleted says so once and is silent afterwards.
    consumer.UnregisteredAsync += (_, _) =>
    {
        closed.TrySetException(new IOException("the queue is gone"));
        return Task.CompletedTask;
    };
    consumer.ReceivedAsync += async (_, delivery) =>
    {
        Handle(delivery);
        // Only now: an event that was not handled to its end comes again.
        await channel.BasicAckAsync(delivery.DeliveryTag, multiple: false);
    };
    await channel.BasicConsumeAsync(queue, autoAck: false, consumer, stop.Token);
    Console.Error.WriteLine($"Subscribed: {pattern} through {queue}");
    await closed.Task.WaitAsync(stop.Token);
}

void Handle(BasicDeliverEventArgs delivery)
{
    // CloudEvents in binary mode: the attributes are headers, the data is the body.
    var line = new JsonObject();
    foreach (var (name, value) in delivery.BasicProperties.Headers ?? new Dictionary<string, object?>())
    {
        if (name.StartsWith("cloudEvents:", StringComparison.Ordinal) && value is byte[] text)
            line[name["cloudEvents:".Length..]] = Encoding.UTF8.GetString(text);
    }
    line["datacontenttype"] = delivery.BasicProperties.ContentType;
    line["data"] = JsonNode.Parse(delivery.Body.Span);
    var (run, sequence) = ((string)line["data"]!["runId"]!, (string)line["sequence"]!);
    // The zeros in front make text compare like numbers.
    if (newest.TryGetValue(run, out var last) && string.CompareOrdinal(sequence, last) <= 0)
        return;
    newest[run] = sequence;
    Console.Out.WriteLine(line.ToJsonString());
    Console.Out.Flush();
}
