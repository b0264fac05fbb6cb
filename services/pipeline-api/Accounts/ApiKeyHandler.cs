using System.Globalization;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>
/// <c>Authorization: Bearer KEY</c>. Refusals are problems, with <c>WWW-Authenticate</c> of RFC 6750: 401 <c>key-missing</c>, <c>key-unknown</c>, <c>key-expired</c>,
/// <c>key-revoked</c>; 403 <c>scope-missing</c>; 429 <c>too-many-refused-keys</c>.
/// </summary>
internal sealed class ApiKeyHandler(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory log, UrlEncoder encoder, KeyCheck keys, KeyRequirement requirement)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, log, encoder)
{
    public const string SchemeName = "api-key";

    private const string Realm = "Bearer realm=\"tinymlaas\"";

    // Set by authentication, said by the challenge that follows it in the same request.
    private KeyRefusal? _refusal;

    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (!Request.Headers.ContainsKey("Authorization"))
        {
            if (!requirement.IsRequired && KeyRequirement.IsLocal(Request))
                return Accept(Caller.Local);
            _refusal = new KeyRefusal(KeyRefusal.Missing, requirement.IsRequired
                ? $"The request has no key. Send it as 'Authorization: Bearer KEY' (tinyml: --key or TINYML_KEY). {KeyCheck.HowToGetOne}."
                : "Requests without a key are taken from programs on this machine that address it as 127.0.0.1 or localhost, and not from pages of other origins.");
            return AuthenticateResult.NoResult();
        }
        var (row, refusal) = await keys.CheckAsync(BearerToken.Read(Request), "'Authorization: Bearer KEY'", Context.Connection.RemoteIpAddress, Context.RequestAborted);
        if (refusal is not null)
            return Refuse(refusal);
        return Accept(new Caller(row!.Tenant, row.Scopes));
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        var refusal = _refusal ?? new KeyRefusal(KeyRefusal.Missing, "The request has no key.");
        if (refusal.Wait is { } wait)
        {
            Response.Headers.RetryAfter = Math.Ceiling(wait.TotalSeconds).ToString(CultureInfo.InvariantCulture);
            return Problems.Result(StatusCodes.Status429TooManyRequests, refusal.Code, "Too many refused keys", refusal.Detail).ExecuteAsync(Context);
        }
        Response.Headers.WWWAuthenticate = refusal.Code == KeyRefusal.Missing ? Realm : $"{Realm}, error=\"invalid_token\"";
        return Problems.Result(StatusCodes.Status401Unauthorized, refusal.Code, "A key is needed", refusal.Detail).ExecuteAsync(Context);
    }

    protected override Task HandleForbiddenAsync(AuthenticationProperties properties)
    {
        // The policies of routes are named as their scopes.
        var needed = string.Join(' ', Context.GetEndpoint()?.Metadata.GetOrderedMetadata<IAuthorizeData>().Select(a => a.Policy).OfType<string>() ?? []);
        var held = string.Join(", ", Caller.Of(Context).Scopes);
        Response.Headers.WWWAuthenticate = $"{Realm}, error=\"insufficient_scope\", scope=\"{needed}\"";
        return Problems.Result(StatusCodes.Status403Forbidden, "scope-missing", "The key does not permit this",
            $"{Request.Method} {Request.Path} needs the scope {needed}. The key has {(held.Length > 0 ? held : "none")}. Use a key that has it.").ExecuteAsync(Context);
    }

    private static AuthenticateResult Accept(Caller caller) => AuthenticateResult.Success(new AuthenticationTicket(caller.ToPrincipal(SchemeName), SchemeName));

    private AuthenticateResult Refuse(KeyRefusal refusal)
    {
        _refusal = refusal;
        return AuthenticateResult.Fail(refusal.Code);
    }
}
