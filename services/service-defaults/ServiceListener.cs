using System.Net;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>One address of a process and the service that answers there.</summary>
/// <param name="Service">The module's name.</param>
/// <param name="Tcp">TCP address and port (0: any free one); null for a socket.</param>
/// <param name="SocketPath">Path of a Unix domain socket; null for TCP.</param>
public sealed record ServiceListener(string Service, IPEndPoint? Tcp, string? SocketPath)
{
    /// <summary>True when others than this machine may reach it.</summary>
    public bool IsBeyondLoopback => Tcp is { } tcp && !IPAddress.IsLoopback(tcp.Address);
}
