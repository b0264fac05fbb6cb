using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>HTTP clients of other services.</summary>
public static class ServiceClients
{
    /// <summary>Configuration key of a service's address, e.g. <c>Services:artifact-store</c>.</summary>
    public static string AddressKey(string service) => $"Services:{service}";

    /// <summary>
    /// Registers a typed client whose base address is the configured address of <paramref name="service"/>. Bodies are streamed, so the
    /// client has no overall timeout: callers bound each call by their cancellation token.
    /// </summary>
    /// <exception cref="InvalidOperationException">The address is not configured.</exception>
    public static IHttpClientBuilder AddServiceClient<TClient>(this IHostApplicationBuilder builder, string service) where TClient : class
    {
        var text = builder.Configuration[AddressKey(service)]
            ?? throw new InvalidOperationException($"The address of '{service}' is not configured. Set {AddressKey(service)} (environment: Services__{service}) to http://HOST:PORT or unix:/PATH.");
        var address = ServiceAddress.Parse(text);
        return builder.Services
            .AddHttpClient<TClient>(service, client =>
            {
                client.BaseAddress = address.Http;
                client.Timeout = Timeout.InfiniteTimeSpan;
            })
            .ConfigurePrimaryHttpMessageHandler(address.CreateHandler);
    }
}
