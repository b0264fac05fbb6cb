using System.Reflection;
using MassTransit;
using Microsoft.Extensions.Logging;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator.Telemetry;

/// <summary>Has a message handled for the run, step and attempt that it names, so that log events say so.</summary>
internal sealed class MessageScope<T>(ILogger<MessageScope<T>> log) : IFilter<ConsumeContext<T>> where T : class
{
    private static readonly Func<T, Guid>? Run = Getter<Guid>("RunId");
    private static readonly Func<T, int>? Step = Getter<int>("Step");
    private static readonly Func<T, int>? Attempt = Getter<int>("Attempt");

    public async Task Send(ConsumeContext<T> context, IPipe<ConsumeContext<T>> next)
    {
        var message = context.Message;
        using var scope = Run is null ? null : StepScope.Begin(log, Run(message), Step?.Invoke(message), Attempt?.Invoke(message));
        await next.Send(context);
    }

    public void Probe(ProbeContext context) => context.CreateFilterScope("messageScope");

    private static Func<T, TValue>? Getter<TValue>(string property) =>
        typeof(T).GetProperty(property) is { PropertyType: var type, GetMethod: MethodInfo get } && type == typeof(TValue) ? get.CreateDelegate<Func<T, TValue>>() : null;
}
