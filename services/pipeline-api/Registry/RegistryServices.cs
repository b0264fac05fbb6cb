using Microsoft.AspNetCore.Authentication;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.PipelineApi.Accounts;

namespace TinyMLaaS.PipelineApi.Registry;

/// <summary>The registry's own ways to show a key, for <see cref="PipelineApiModule"/>.</summary>
internal static class RegistryServices
{
    /// <summary>The rule of routes that take any key that is accepted.</summary>
    public const string AnyPolicy = "registry";

    /// <summary>The rule of routes that do one of <see cref="RegistryActions"/>.</summary>
    public static string PolicyOf(string action) => $"registry-{action}";

    public static void AddRegistry(this IServiceCollection services)
    {
        services.AddSingleton<RegistryTokens>();
        services.AddAuthentication().AddScheme<AuthenticationSchemeOptions, RegistryHandler>(RegistryHandler.SchemeName, _ => { });
        var policies = services.AddAuthorizationBuilder()
            .AddPolicy(AnyPolicy, policy => policy.AddAuthenticationSchemes(RegistryHandler.SchemeName).RequireAuthenticatedUser());
        foreach (var (action, scope) in RegistryActions.All)
            policies.AddPolicy(PolicyOf(action), policy => policy.AddAuthenticationSchemes(RegistryHandler.SchemeName).RequireAuthenticatedUser().RequireClaim(Caller.ScopeClaim, scope));
    }
}
