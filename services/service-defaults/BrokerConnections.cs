using System.Net.Security;
using Microsoft.Extensions.Options;
using RabbitMQ.Client;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Connections of a service's own to the broker that section <c>Bus</c> names, for what does not go over the bus. Absent where the process itself is the bus.</summary>
public sealed class BrokerConnections
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    private readonly BusOptions _options;

    internal BrokerConnections(IOptions<BusOptions> options) => _options = options.Value;

    /// <summary>Opens a connection that does not recover by itself: who uses it knows what has to be done again.</summary>
    /// <param name="name">What the broker shows it as.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <exception cref="RabbitMQ.Client.Exceptions.BrokerUnreachableException">The broker does not answer or refuses the user.</exception>
    public Task<IConnection> OpenAsync(string name, CancellationToken cancellation) => OpenAsync(BusAddress.Read(_options), name, cancellation);

    internal static Task<IConnection> OpenAsync(BusAddress address, string name, CancellationToken cancellation)
    {
        var factory = new ConnectionFactory
        {
            // Sets host, port and virtual host.
            Uri = address.Host,
            UserName = address.User,
            Password = address.Password,
            ClientProvidedName = name,
            AutomaticRecoveryEnabled = false,
            RequestedHeartbeat = Limit,
            RequestedConnectionTimeout = Limit,
            ContinuationTimeout = Limit,
        };
        // An address alone would let a certificate of another host pass.
        if (address.UsesTls)
            factory.Ssl = new SslOption { Enabled = true, ServerName = address.Host.Host, AcceptablePolicyErrors = SslPolicyErrors.None };
        return factory.CreateConnectionAsync(cancellation);
    }
}
