using MassTransit;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// Takes the expiry off requests. One that comes late is answered like any other, and nobody waits. Were it to expire, the broker would lay it among the dead
/// letters, where only what nobody could handle belongs.
/// </summary>
internal sealed class NoExpiry : ISendObserver, IPublishObserver
{
    public Task PreSend<T>(SendContext<T> context) where T : class
    {
        context.TimeToLive = null;
        return Task.CompletedTask;
    }

    public Task PrePublish<T>(PublishContext<T> context) where T : class => PreSend(context);

    public Task PostSend<T>(SendContext<T> context) where T : class => Task.CompletedTask;

    public Task PostPublish<T>(PublishContext<T> context) where T : class => Task.CompletedTask;

    public Task SendFault<T>(SendContext<T> context, Exception exception) where T : class => Task.CompletedTask;

    public Task PublishFault<T>(PublishContext<T> context, Exception exception) where T : class => Task.CompletedTask;
}
