using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>
/// Whether clients need a key. On loopback they do not, unless <c>PipelineApi:RequireKey</c> says so: whoever uses this machine may do everything in the tenant
/// <c>default</c>. Anywhere else they always do.
/// </summary>
internal sealed class KeyRequirement(IReadOnlyList<ServiceListener> listeners, IOptions<PipelineApiOptions> options)
{
    private readonly ServiceListener? _exposed = Exposed(listeners);

    /// <summary>True when a request without a key is refused.</summary>
    public bool IsRequired => _exposed is not null || options.Value.RequireKey == true;

    /// <summary>What makes keys necessary, for messages.</summary>
    public string Reason => _exposed is { } listener ? $"it listens on {listener.Tcp}, which is more than loopback" : "PipelineApi:RequireKey is true";

    /// <summary>The listener of clients that others than this machine may reach.</summary>
    public static ServiceListener? Exposed(IEnumerable<ServiceListener> listeners) =>
        listeners.FirstOrDefault(l => l.Service == PipelineApiModule.ServiceName && l.IsBeyondLoopback);

    /// <summary>
    /// Whether a request without a key comes from whoever uses this machine, and not from a page in their browser: a page of another origin says so, or names the
    /// host by which it was found.
    /// </summary>
    public static bool IsLocal(HttpRequest request) =>
        IsLoopbackName(request.Host.Host)
        && request.Headers.Origin.All(origin => origin == $"{request.Scheme}://{request.Host}")
        && request.Headers["Sec-Fetch-Site"].All(site => site is "same-origin" or "none");

    private static bool IsLoopbackName(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (System.Net.IPAddress.TryParse(host.Trim('[', ']'), out var address) && System.Net.IPAddress.IsLoopback(address));
}

internal sealed class KeyRequirementValidation(IReadOnlyList<ServiceListener> listeners) : IValidateOptions<PipelineApiOptions>
{
    public ValidateOptionsResult Validate(string? name, PipelineApiOptions options) =>
        options.RequireKey == false && KeyRequirement.Exposed(listeners) is { } exposed
            ? ValidateOptionsResult.Fail(
                $"PipelineApi:RequireKey is false, but {PipelineApiModule.ServiceName} listens on {exposed.Tcp}, which is more than loopback: whoever reaches it could do everything. Leave it out, or listen on loopback.")
            : ValidateOptionsResult.Success;
}
