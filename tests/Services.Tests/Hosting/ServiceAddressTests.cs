using System.Net;
using System.Net.Sockets;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Services.Tests.Hosting;

public sealed class ServiceAddressTests
{
    private const int Tries = 300;

    /// <summary>A service that is killed dies at any moment, also between a connection and the first byte on it.</summary>
    [Fact]
    public async Task A_service_that_dies_with_a_new_connection_could_not_be_reached()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var end = new CancellationTokenSource();
        var dying = ResetAsync(listener, end.Token);
        using var http = new HttpClient(ServiceAddress.Parse($"http://{listener.LocalEndpoint}").CreateHandler());

        for (var i = 0; i < Tries; i++)
            await Assert.ThrowsAsync<HttpRequestException>(() => http.GetAsync($"http://{listener.LocalEndpoint}/", TestContext.Current.CancellationToken));

        await end.CancelAsync();
        await dying;
    }

    [Fact]
    public async Task What_a_socket_says_is_kept_with_the_failure()
    {
        using var http = new HttpClient(new ConnectionFailures(new Dying()));

        var error = await Assert.ThrowsAsync<HttpRequestException>(() => http.GetAsync("http://127.0.0.1:9/", TestContext.Current.CancellationToken));

        Assert.Equal(HttpRequestError.ConnectionError, error.HttpRequestError);
        Assert.Contains("127.0.0.1:9", error.Message, StringComparison.Ordinal);
        Assert.Equal(SocketError.NotConnected, Assert.IsType<SocketException>(error.InnerException).SocketErrorCode);
    }

    private static async Task ResetAsync(TcpListener listener, CancellationToken end)
    {
        try
        {
            while (true)
            {
                using var socket = await listener.AcceptSocketAsync(end);
                socket.LingerState = new LingerOption(true, 0);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private sealed class Dying : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
            Task.FromException<HttpResponseMessage>(new SocketException((int)SocketError.NotConnected));
    }
}
