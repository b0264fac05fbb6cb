using System.Net;
using System.Net.Sockets;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Where a service listens: <c>http://host:port</c>, or <c>unix:/path/to/socket</c> inside one machine.</summary>
public sealed record ServiceAddress
{
    private const string UnixPrefix = "unix:";

    private ServiceAddress(Uri http, string? socketPath)
    {
        Http = http;
        SocketPath = socketPath;
    }

    /// <summary>Base address for requests; for a socket only its path counts.</summary>
    public Uri Http { get; }

    /// <summary>The socket's path; null for TCP.</summary>
    public string? SocketPath { get; }

    /// <summary>True for a socket and for loopback.</summary>
    public bool IsThisMachine => SocketPath is not null || Http.IsLoopback;

    /// <summary>Reads either form.</summary>
    /// <exception cref="FormatException">The text is neither.</exception>
    public static ServiceAddress Parse(string text)
    {
        if (text.StartsWith(UnixPrefix, StringComparison.Ordinal) && text.Length > UnixPrefix.Length)
            return new ServiceAddress(new Uri("http://localhost/"), text[UnixPrefix.Length..]);
        if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https")
            return new ServiceAddress(uri, null);
        throw new FormatException($"'{text}' is no service address. Expected http://HOST:PORT or unix:/PATH.");
    }

    /// <summary>A handler that connects to this address. Whoever cannot be reached is an <see cref="HttpRequestException"/>.</summary>
    public HttpMessageHandler CreateHandler()
    {
        var handler = new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.FromMinutes(5), UseProxy = false, AutomaticDecompression = DecompressionMethods.None };
        if (SocketPath is { } path)
        {
            handler.ConnectCallback = async (_, cancellation) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellation);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            };
        }
        return new ConnectionFailures(handler);
    }

    /// <inheritdoc/>
    public override string ToString() => SocketPath is null ? Http.ToString() : UnixPrefix + SocketPath;
}

/// <summary>
/// A peer that dies right after it has accepted a connection is one that cannot be reached. .NET asks the socket for the peer's address then, and lets the failure of that out as it is.
/// </summary>
internal sealed class ConnectionFailures(HttpMessageHandler inner) : DelegatingHandler(inner)
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        try
        {
            return await base.SendAsync(request, cancellationToken);
        }
        catch (SocketException error)
        {
            throw new HttpRequestException(HttpRequestError.ConnectionError, $"{error.Message} ({request.RequestUri?.Authority})", error);
        }
    }
}
