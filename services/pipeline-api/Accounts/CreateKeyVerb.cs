using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>
/// <c>create-key TENANT NAME [SCOPE,SCOPE... [FILE]]</c>: makes a key, and the tenant if it does not exist, for whoever has the machine and the database. This is how the first
/// key comes to be. Standard output gets the key and nothing else; without scopes it has all that concern one tenant. With a file, the key that the file holds is accepted from now on
/// and is not shown; that it is accepted already changes nothing, so an installation may say it at each start.
/// </summary>
internal static class CreateKeyVerb
{
    public static ServiceVerb Verb { get; } = new("create-key", "TENANT NAME [SCOPE,SCOPE... [FILE]]", RunAsync);

    private static async Task<string> RunAsync(IServiceProvider services, IReadOnlyList<string> arguments, CancellationToken cancellation)
    {
        if (arguments.Count is < 2 or > 4)
            throw Refuse($"create-key takes {Verb.Usage}, but got {arguments.Count} arguments.");
        var (tenant, name) = (arguments[0], arguments[1]);
        if (!Tenants.IsName(tenant))
            throw Refuse($"'{tenant}' is no name of a tenant. Expected {Tenants.Expected}.");
        if (!ResourceNames.IsName(name))
            throw Refuse($"'{name}' is no name of a key. Expected {ResourceNames.Expected}.");
        var scopes = arguments.Count < 3 ? Scopes.OfTenant : arguments[2].Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (scopes.Count == 0 || scopes.Any(s => !Scopes.All.Contains(s)))
            throw Refuse($"'{arguments[2]}' are no scopes. Expected some of {string.Join(',', Scopes.All)}.");
        var given = arguments is [_, _, _, var file] ? Read(file) : null;
        await using var scope = services.CreateAsyncScope();
        var ring = scope.ServiceProvider.GetRequiredService<KeyRing>();
        var log = services.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(CreateKeyVerb));
        if (given is not null && await ring.FindAsync(given.Hash, cancellation) is { } known)
        {
            log.LogInformation("The key {Prefix}... is there already, of the tenant {Tenant}, until {ExpiresAt}", known.Prefix, known.Tenant, known.ExpiresAt);
            return "";
        }
        var (row, key, newTenant) = await ring.CreateAsync(tenant, name, Scopes.All.Where(s => scopes.Contains(s)), KeyRing.DefaultDays, cancellation, given);
        log.LogInformation(
            "Made the key {Prefix}... of the {Tenancy} {Tenant} with {Scopes}, until {ExpiresAt}", row.Prefix, newTenant ? "new tenant" : "tenant", tenant, row.ScopeText, row.ExpiresAt);
        return given is null ? key.Text : "";
    }

    private static ApiKey Read(string file)
    {
        try
        {
            return ApiKey.Read(File.ReadAllText(file).Trim())
                ?? throw Refuse($"The file '{file}' holds no key. Expected tml_, eight of a-z and 0-9, _, and 43 characters of base64url; leave the file away and one is made.");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Refuse($"The key cannot be read from '{file}': {error.Message}");
        }
    }

    private static StartRefusedException Refuse(string message) => new("wrong-arguments", message);
}
