using System.Net.Mime;
using MassTransit;
using MassTransit.Configuration;
using MassTransit.Context;
using MassTransit.Logging;
using MassTransit.Middleware;
using MassTransit.Serialization;
using MassTransit.Transports;

namespace TinyMLaaS.Simulation.Tests.Bus;

/// <summary>
/// A receive endpoint as the product configured it, retry, outbox, saga and consumers included, without the transport: a message is handed to
/// it, and what it does is done when the task has completed.
/// </summary>
internal sealed class ModelEndpoint
{
    private readonly IReceiveEndpointConfiguration _configuration;
    private readonly Context _context;

    public ModelEndpoint(IReceiveEndpointConfiguration configuration, Action<ModelMessage> sink)
    {
        _configuration = configuration;
        _context = new Context(configuration);
        Sends = new ModelSends(_context, sink);
    }

    public ModelSends Sends { get; }

    /// <summary>Handles one delivery, through bytes as it would come from a broker.</summary>
    /// <exception cref="Exception">What the handler threw, when the product would not try it again.</exception>
    public Task DeliverAsync(ModelMessage message) => (Task)typeof(ModelEndpoint).GetMethod(nameof(DeliverAsyncOf), System.Reflection.BindingFlags.NonPublic | System.Reflection.BindingFlags.Instance)!
        .MakeGenericMethod(message.Content.GetType()).Invoke(this, [message])!;

    private async Task DeliverAsyncOf<T>(ModelMessage message) where T : class
    {
        var envelope = new MessageSendContext<T>((T)message.Content)
        {
            MessageId = message.Id ?? throw new InvalidOperationException("A message without an id."),
            RequestId = message.Request,
            ResponseAddress = message.Request is null ? null : ModelBusPort.Answers,
            SourceAddress = ModelBusPort.Answers,
            DestinationAddress = _context.InputAddress,
            Serializer = _context.Serialization.GetMessageSerializer(),
        };
        using var received = new Received(_context, envelope.Body.GetBytes(), envelope.ContentType, Sends);
        var consumed = _context.Serialization.GetMessageDeserializer(envelope.ContentType).Deserialize(received);
        await _configuration.ConsumePipe.Send(consumed);
    }

    private sealed class Received(ReceiveEndpointContext endpoint, byte[] body, ContentType contentType, ModelSends sends) : BaseReceiveContext(false, endpoint)
    {
        public override MessageBody Body { get; } = new BytesMessageBody(body);

        protected override IHeaderProvider HeaderProvider { get; } = new DictionarySendHeaderProvider(new DictionarySendHeaders());

        protected override ContentType GetContentType() => contentType;

        protected override ISendEndpointProvider GetSendEndpointProvider() => sends;

        protected override IPublishEndpointProvider GetPublishEndpointProvider() => sends;
    }

    private sealed class Context(IReceiveEndpointConfiguration configuration) : BasePipeContext, ReceiveEndpointContext
    {
        public TimeSpan? ConsumerStopTimeout => null;

        public TimeSpan? StopTimeout => null;

        public Uri InputAddress => configuration.InputAddress;

        public bool IsBusEndpoint => false;

        public IReceiveEndpointObserver EndpointObservers => configuration.EndpointObservers;

        public IReceiveObserver ReceiveObservers => configuration.ReceiveObservers;

        public IReceiveTransportObserver TransportObservers => configuration.TransportObservers;

        public ILogContext LogContext => throw new NotSupportedException();

        public IPublishTopology Publish => throw new NotSupportedException();

        public IReceivePipe ReceivePipe => throw new NotSupportedException();

        public IPublishEndpointProvider PublishEndpointProvider => throw new NotSupportedException();

        public ISendEndpointProvider SendEndpointProvider => throw new NotSupportedException();

        public Task DependenciesReady => Task.CompletedTask;

        public Task DependentsCompleted => Task.CompletedTask;

        public bool PublishFaults => false;

        public int PrefetchCount => 1;

        public int? ConcurrentMessageLimit => 1;

        public ISerialization Serialization { get; } = configuration.Serialization.CreateSerializerCollection();

        public Exception ConvertException(Exception exception, string message) => exception;

        public IReceivePipeDispatcher CreateReceivePipeDispatcher() => throw new NotSupportedException();

        public void Reset()
        {
        }

        public void AddConsumeAgent(IAgent agent)
        {
        }

        public void AddSendAgent(IAgent agent)
        {
        }

        public void Probe(ProbeContext context)
        {
        }

        public ConnectHandle ConnectSendObserver(ISendObserver observer) => throw new NotSupportedException();

        public ConnectHandle ConnectPublishObserver(IPublishObserver observer) => throw new NotSupportedException();

        public ConnectHandle ConnectReceiveTransportObserver(IReceiveTransportObserver observer) => throw new NotSupportedException();

        public ConnectHandle ConnectReceiveObserver(IReceiveObserver observer) => throw new NotSupportedException();

        public ConnectHandle ConnectReceiveEndpointObserver(IReceiveEndpointObserver observer) => throw new NotSupportedException();
    }
}
