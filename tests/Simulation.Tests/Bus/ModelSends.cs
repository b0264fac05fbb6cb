using MassTransit;
using MassTransit.Context;
using MassTransit.Serialization;
using MassTransit.Transports;

namespace TinyMLaaS.Simulation.Tests.Bus;

/// <summary>What MassTransit's pipelines send through: every message ends in a sink instead of a transport.</summary>
internal sealed class ModelSends(ReceiveEndpointContext endpoint, Action<ModelMessage> sink) : ISendEndpointProvider, IPublishEndpointProvider, ISendTransport
{
    private static readonly Uri Published = new("model://published/");
    private static readonly ILookup<string, Type> Types = AppDomain.CurrentDomain.GetAssemblies()
        .Where(a => a.GetName().Name is "TinyMLaaS.Contracts" or "TinyMLaaS.Orchestrator")
        .SelectMany(a => a.GetExportedTypes())
        .Where(t => t is { IsClass: true, IsAbstract: false, ContainsGenericParameters: false })
        .ToLookup(MessageUrn.ForTypeString);

    public Task<ISendEndpoint> GetSendEndpoint(Uri address) => Task.FromResult<ISendEndpoint>(new SendEndpoint(this, endpoint, address, null));

    public Task<ISendEndpoint> GetPublishSendEndpoint<T>() where T : class => GetSendEndpoint(Published);

    public async Task<SendContext<T>> CreateSendContext<T>(T message, IPipe<SendContext<T>> pipe, CancellationToken cancellationToken) where T : class
    {
        var context = new MessageSendContext<T>(message, cancellationToken);
        await pipe.Send(context);
        return context;
    }

    public async Task Send<T>(T message, IPipe<SendContext<T>> pipe, CancellationToken cancellationToken) where T : class
    {
        var context = (MessageSendContext<T>)await CreateSendContext(message, pipe, cancellationToken);
        if (message is Fault)
            return;
        sink(new ModelMessage
        {
            Content = message is SerializedMessageBody ? Read(context) : message,
            Destination = context.DestinationAddress == Published ? null : context.DestinationAddress,
            Request = context.RequestId,
            Id = context.MessageId,
        });
    }

    public ConnectHandle ConnectSendObserver(ISendObserver observer) => new Nothing();

    public ConnectHandle ConnectPublishObserver(IPublishObserver observer) => new Nothing();

    /// <summary>What a stored message was before it was stored.</summary>
    private static object Read<T>(MessageSendContext<T> context) where T : class
    {
        var stored = context.Serialization.GetMessageDeserializer(context.ContentType).Deserialize(context.Body, context.Headers);
        var type = stored.SupportedMessageTypes.SelectMany(urn => Types[urn]).First();
        return stored.TryGetMessage(type, out var message) ? message : throw new InvalidOperationException($"A stored {type} could not be read.");
    }

    private sealed class Nothing : ConnectHandle
    {
        public void Disconnect()
        {
        }

        public void Dispose()
        {
        }
    }
}
