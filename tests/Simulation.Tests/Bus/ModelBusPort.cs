using System.Reflection;
using MassTransit;
using MassTransit.Transports;

namespace TinyMLaaS.Simulation.Tests.Bus;

/// <summary>MassTransit's interfaces as far as the orchestrator's own loops use them; whatever else is called throws and names it.</summary>
internal static class ModelBusPort
{
    /// <summary>Where answers to requests go; which one it is for, the request's id says.</summary>
    public static readonly Uri Answers = new("model://answers/");

    /// <summary>A bus that publishes and sends.</summary>
    public static IBus Bus(ModelSends sends)
    {
        var publish = new PublishEndpoint(sends);
        return Port<IBus>.Create((method, arguments) => method.DeclaringType switch
        {
            var type when type == typeof(IPublishEndpoint) => method.Invoke(publish, arguments),
            var type when type == typeof(ISendEndpointProvider) && arguments is [Uri address] => sends.GetSendEndpoint(address),
            _ => null,
        });
    }

#pragma warning disable CA1852 // DispatchProxy derives from it at run time.
    internal class Port<T> : DispatchProxy where T : class
#pragma warning restore CA1852
    {
        private Func<MethodInfo, object?[], object?> _invoke = null!;

        public static T Create(Func<MethodInfo, object?[], object?> invoke)
        {
            var port = Create<T, Port<T>>();
            ((Port<T>)(object)port)._invoke = invoke;
            return port;
        }

        protected override object Invoke(MethodInfo? targetMethod, object?[]? args) =>
            _invoke(targetMethod!, args ?? []) ?? throw new NotSupportedException($"The model has no {typeof(T).Name}.{targetMethod!.Name}.");
    }
}
