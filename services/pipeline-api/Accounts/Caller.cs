using System.Security.Claims;
using Microsoft.AspNetCore.Http;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>Who makes a request: every row that it reads or writes is its tenant's. Bound as a parameter of endpoints.</summary>
/// <param name="Tenant">The tenant.</param>
/// <param name="Scopes">What it may do.</param>
internal sealed record Caller(string Tenant, IReadOnlyList<string> Scopes)
{
    private const string TenantClaim = "tenant";

    /// <summary>The claim that each scope is.</summary>
    public const string ScopeClaim = "scope";

    /// <summary>Whoever uses this machine, where no key is needed.</summary>
    public static Caller Local { get; } = new(Tenants.Default, Contracts.Accounts.Scopes.All);

    public bool Has(string scope) => Scopes.Contains(scope);

    public ClaimsPrincipal ToPrincipal(string scheme) =>
        new(new ClaimsIdentity([new Claim(TenantClaim, Tenant), .. Scopes.Select(s => new Claim(ScopeClaim, s))], scheme));

    /// <summary>Who makes this request. Routes that anybody may use have none.</summary>
    /// <exception cref="InvalidOperationException">The request was not authenticated: its route states no scope.</exception>
    public static Caller Of(HttpContext http) => http.User.FindFirst(TenantClaim) is { } tenant
        ? new Caller(tenant.Value, [.. http.User.FindAll(ScopeClaim).Select(c => c.Value)])
        : throw new InvalidOperationException($"{http.Request.Method} {http.Request.Path} asks who calls, but takes callers without a key.");

    /// <summary>For minimal APIs.</summary>
    public static ValueTask<Caller> BindAsync(HttpContext context) => ValueTask.FromResult(Of(context));
}
