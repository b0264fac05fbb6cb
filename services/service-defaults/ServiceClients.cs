using System.Net.Http.Headers;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>HTTP clients of other services.</summary>
public static class ServiceClients
{
    /// <summary>Configuration key of a service's address, e.g. <c>Services:artifact-store</c>.</summary>
    public static string AddressKey(string service) => $"Services:{service}";

    /// <summary>
    /// Registers a typed client whose base address is the configured address of <paramref name="service"/>. Bodies are streamed, so the
    /// client has no overall timeout: callers bound each call by their cancellation token. An address that is missing or wrong is reported at start.
    /// </summary>
    public static IHttpClientBuilder AddServiceClient<TClient>(this IHostApplicationBuilder builder, string service) where TClient : class
    {
        builder.Services.AddOptions<ServiceAddressOptions>(service).Configure<IConfiguration>((options, configuration) => options.Address = configuration[AddressKey(service)]).ValidateOnStart();
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<ServiceAddressOptions>, ServiceAddressValidation>());
        ServiceAddress Address(IServiceProvider provider) => ServiceAddress.Parse(provider.GetRequiredService<IOptionsMonitor<ServiceAddressOptions>>().Get(service).Address!);
        return builder.Services
            .AddHttpClient<TClient>(service, (provider, client) =>
            {
                client.BaseAddress = Address(provider).Http;
                client.Timeout = Timeout.InfiniteTimeSpan;
                if (provider.GetRequiredService<ServiceCredential>().Shown is { } credential)
                    client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", credential);
            })
            .ConfigurePrimaryHttpMessageHandler(provider => Address(provider).CreateHandler())
            .AddHttpMessageHandler(() => new StepScope.Handler())
            // Two lines and a scope a request that no service writes: failures are told by who asked.
            .RemoveAllLoggers();
    }
}

internal sealed class ServiceAddressOptions
{
    public string? Address { get; set; }
}

internal sealed class ServiceAddressValidation(IConfiguration configuration) : IValidateOptions<ServiceAddressOptions>
{
    private const string CredentialKey = $"{ServiceCredentialOptions.Section}:{nameof(ServiceCredentialOptions.CredentialFile)}";

    public ValidateOptionsResult Validate(string? name, ServiceAddressOptions options)
    {
        if (string.IsNullOrWhiteSpace(options.Address))
            return ValidateOptionsResult.Fail($"The address of '{name}' is not configured. Set {ServiceClients.AddressKey(name!)} (environment: Services__{name}) to http://HOST:PORT or unix:/PATH.");
        try
        {
            var address = ServiceAddress.Parse(options.Address);
            return address.IsThisMachine || !string.IsNullOrEmpty(configuration[CredentialKey])
                ? ValidateOptionsResult.Success
                : ValidateOptionsResult.Fail(
                    $"{ServiceClients.AddressKey(name!)} is {address}, which is not this machine, but Services:CredentialFile is not set, and '{name}' answers nobody there without a credential. "
                    + "Set it (environment: Services__CredentialFile) to the file that all services share.");
        }
        catch (FormatException error)
        {
            return ValidateOptionsResult.Fail($"{ServiceClients.AddressKey(name!)}: {error.Message}");
        }
    }
}
