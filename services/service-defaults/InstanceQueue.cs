using MassTransit;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// Queues of one process alone, gone with it: <c>v1.SERVICE.PURPOSE.INSTANCE</c>. Their names begin with the service, so that its user's rights on the broker can cover its own and no other's;
/// those that the library makes up depend on the length of the machine's name.
/// </summary>
public static class InstanceQueue
{
    /// <summary>The queue on which a process gets answers to its requests.</summary>
    internal const string Replies = "replies";

    /// <summary>Receives on a queue of this process alone.</summary>
    /// <param name="bus">The bus.</param>
    /// <param name="service">Whose queue it is, e.g. <c>pipeline-api</c>.</param>
    /// <param name="purpose">What it is for, e.g. <c>announcements</c>.</param>
    /// <param name="configure">Adds the consumers.</param>
    public static void ReceiveInstance(this IBusFactoryConfigurator bus, string service, string purpose, Action<IReceiveEndpointConfigurator> configure) =>
        bus.ReceiveEndpoint(new Definition(NameOf(service, purpose)), DefaultEndpointNameFormatter.Instance, configure);

    /// <summary>A name that no other process has.</summary>
    internal static string NameOf(string service, string purpose) => $"v1.{service}.{purpose}.{Guid.NewGuid():N}";

    private sealed class Definition(string name) : IEndpointDefinition
    {
        public bool ConfigureConsumeTopology => true;

        public bool IsTemporary => true;

        public int? PrefetchCount => null;

        public int? ConcurrentMessageLimit => null;

        public string GetEndpointName(IEndpointNameFormatter formatter) => name;

        public void Configure<T>(T configurator, IRegistrationContext? context) where T : IReceiveEndpointConfigurator
        {
        }
    }
}
