using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Accounts;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>Keys and what they permit, for <see cref="PipelineApiModule"/>.</summary>
internal static class AccountServices
{
    /// <summary>Registers the scheme, a policy a scope, named as it, and the check at start.</summary>
    public static void AddAccounts(this IServiceCollection services)
    {
        services.AddSingleton<IValidateOptions<PipelineApiOptions>, KeyRequirementValidation>();
        services.AddSingleton<KeyRequirement>();
        services.AddSingleton<RefusedKeys>();
        services.AddScoped<KeyRing>();
        services.AddScoped<KeyCheck>();
        services.AddHostedService<KeysAtStart>();
        services.AddAuthentication().AddScheme<AuthenticationSchemeOptions, ApiKeyHandler>(ApiKeyHandler.SchemeName, _ => { });
        var policies = services.AddAuthorizationBuilder();
        foreach (var scope in Scopes.All)
            policies.AddPolicy(scope, policy => policy.AddAuthenticationSchemes(ApiKeyHandler.SchemeName).RequireAuthenticatedUser().RequireClaim(Caller.ScopeClaim, scope));
    }

    /// <summary>Lets a route be used with a key of this scope, one of <see cref="Scopes"/>. A route without a scope is refused to everybody.</summary>
    public static TBuilder RequireScope<TBuilder>(this TBuilder route, string scope) where TBuilder : IEndpointConventionBuilder => route.RequireAuthorization(scope);
}
