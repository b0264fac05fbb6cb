using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>
/// <c>create-key TENANT NAME [SCOPE,SCOPE...]</c>: makes a key, and the tenant if it does not exist, for whoever has the machine and the database. This is how the first
/// key comes to be. Standard output gets the key and nothing else; without scopes it has all that concern one tenant.
/// </summary>
internal static class CreateKeyVerb
{
    public static ServiceVerb Verb { get; } = new("create-key", "TENANT NAME [SCOPE,SCOPE...]", RunAsync);

    private static async Task<string> RunAsync(IServiceProvider services, IReadOnlyList<string> arguments, CancellationToken cancellation)
    {
        if (arguments.Count is not (2 or 3))
            throw Refuse($"create-key takes {Verb.Usage}, but got {arguments.Count} arguments.");
        var (tenant, name) = (arguments[0], arguments[1]);
        if (!Tenants.IsName(tenant))
            throw Refuse($"'{tenant}' is no name of a tenant. Expected {Tenants.Expected}.");
        if (!ResourceNames.IsName(name))
            throw Refuse($"'{name}' is no name of a key. Expected {ResourceNames.Expected}.");
        var scopes = arguments.Count < 3 ? Scopes.OfTenant : arguments[2].Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (scopes.Count == 0 || scopes.Any(s => !Scopes.All.Contains(s)))
            throw Refuse($"'{arguments[2]}' are no scopes. Expected some of {string.Join(',', Scopes.All)}.");
        await using var scope = services.CreateAsyncScope();
        var (row, key, newTenant) = await scope.ServiceProvider.GetRequiredService<KeyRing>()
            .CreateAsync(tenant, name, Scopes.All.Where(s => scopes.Contains(s)), KeyRing.DefaultDays, cancellation);
        services.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(CreateKeyVerb)).LogInformation(
            "Made the key {Prefix}... of the {Tenancy} {Tenant} with {Scopes}, until {ExpiresAt}", row.Prefix, newTenant ? "new tenant" : "tenant", tenant, row.ScopeText, row.ExpiresAt);
        return key.Text;
    }

    private static StartRefusedException Refuse(string message) => new("wrong-arguments", message);
}
