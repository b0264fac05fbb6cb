using System.Security.Claims;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// Who may use a route. One that states no rule is refused to everybody, so that a forgotten rule is a route that does not work and not one that is open.
/// Routes of services behind pipeline-api take the credential of a service; those of pipeline-api state their own.
/// </summary>
internal static class ServiceAuthorization
{
    /// <summary>The rule of routes between services.</summary>
    public const string ServicePolicy = "service";

    private static bool MayPass(HttpContext http) => http.GetEndpoint() is { } route
        ? throw new InvalidOperationException($"The route '{route.DisplayName}' states no rule, so nobody may use it. Give it RequireAuthorization, or AllowAnonymous if that is meant.")
        : true;

    public static void AddServiceAuthorization(this IServiceCollection services)
    {
        services.AddOptions<ServiceCredentialOptions>().BindConfiguration(ServiceCredentialOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<ServiceCredentialOptions>, ServiceCredentialValidation>();
        services.AddSingleton(provider => ServiceCredential.Read(provider.GetRequiredService<IOptions<ServiceCredentialOptions>>().Value));
        services.AddSingleton(provider => new SharedKeys(provider.GetRequiredService<ServiceCredential>()));
        services.AddAuthentication().AddScheme<AuthenticationSchemeOptions, ServiceCredentialHandler>(ServiceCredentialHandler.SchemeName, _ => { });
        services.AddAuthorizationBuilder()
            // Where there is no route there is nothing to protect: the answer is 404.
            .SetFallbackPolicy(new AuthorizationPolicyBuilder().RequireAssertion(context => context.Resource is HttpContext http && MayPass(http)).Build())
            .AddPolicy(ServicePolicy, policy => policy.AddAuthenticationSchemes(ServiceCredentialHandler.SchemeName).RequireAuthenticatedUser());
    }
}

/// <summary>Takes the credential of a service: <c>Authorization: Bearer</c>. Without credentials everybody who reaches the service is believed, which is this machine alone.</summary>
internal sealed class ServiceCredentialHandler(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory log, UrlEncoder encoder, ServiceCredential credential)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, log, encoder)
{
    public const string SchemeName = "service-credential";

    protected override Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (credential.IsRequired)
        {
            if (BearerToken.Read(Request) is not { } shown)
                return Task.FromResult(AuthenticateResult.NoResult());
            if (!credential.Accepts(shown))
                return Task.FromResult(AuthenticateResult.Fail("The credential is not one of those that this service accepts."));
        }
        return Task.FromResult(AuthenticateResult.Success(new AuthenticationTicket(new ClaimsPrincipal(new ClaimsIdentity(SchemeName)), SchemeName)));
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        Response.Headers.WWWAuthenticate = "Bearer realm=\"tinymlaas-services\"";
        return Problems.Result(StatusCodes.Status401Unauthorized, "service-credential-refused", "This service answers other services alone",
            Request.Headers.ContainsKey(HeaderNames.Authorization)
                ? "The credential is not one of those in Services:CredentialFile of this service. Give both services the same file."
                : "The request shows no credential of a service. Clients talk to pipeline-api; services need Services:CredentialFile.").ExecuteAsync(Context);
    }
}
