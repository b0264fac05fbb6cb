using System.Globalization;
using System.Security.Claims;
using System.Text;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Registry;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Registry;

/// <summary>
/// Who makes a request under <c>/v2</c>, in the ways that clients of registries know: a token that <c>/v2/token</c> gave, or a key itself, as <c>Bearer</c> or as the password of <c>Basic</c>. Refusals are error
/// documents of OCI distribution; the challenge names the address of tokens and what the request needs.
/// </summary>
internal sealed class RegistryHandler(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory log, UrlEncoder encoder, KeyCheck keys, KeyRing ring, KeyRequirement requirement, RegistryTokens tokens)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, log, encoder)
{
    public const string SchemeName = "registry";

    /// <summary>The key that a request shows.</summary>
    public const string KeyClaim = "key";

    /// <summary>Repository and action that a token permits; whoever shows a key itself has none.</summary>
    public const string AccessClaim = "registry-access";

    /// <summary>There for tokens alone.</summary>
    public const string TokenClaim = "registry-token";

    private const string Service = "tinymlaas";
    private const string BasicScheme = "Basic ";
    private const int MaxBasicLength = 1024;
    private const string HowToShow = "'docker login' with any user name and the key as the password";

    // Set by authentication, said by the challenge that follows it in the same request.
    private KeyRefusal? _refusal;

    /// <summary>Sets what a client needs to get a token for a request that was refused.</summary>
    public static void Challenge(HttpContext http, string? error)
    {
        var request = http.Request;
        // A proxy that ends TLS says by which scheme it was addressed; whoever makes it up misleads nobody else.
        var scheme = request.Headers["X-Forwarded-Proto"] is [("http" or "https") and { } forwarded] ? forwarded : request.Scheme;
        var challenge = new StringBuilder($"Bearer realm=\"{scheme}://{request.Host}/v2/token\",service=\"{Service}\"");
        if (RegistryPath.Read(request.Path.Value ?? "").Path is { } path)
            challenge.Append(CultureInfo.InvariantCulture, $",scope=\"repository:{path.Repository}:{(RegistryActions.Of(request) == RegistryActions.Pull ? RegistryActions.Pull : "pull,push")}\"");
        if (error is not null)
            challenge.Append(CultureInfo.InvariantCulture, $",error=\"{error}\"");
        http.Response.Headers.WWWAuthenticate = challenge.ToString();
    }

    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (!Request.Headers.ContainsKey("Authorization"))
        {
            if (!requirement.IsRequired && KeyRequirement.IsLocal(Request))
                return Accept(Caller.Local, key: null);
            _refusal = new KeyRefusal(KeyRefusal.Missing, $"The request has no key. Use {HowToShow}. {KeyCheck.HowToGetOne}.");
            return AuthenticateResult.NoResult();
        }
        if (BearerToken.Read(Request) is { } bearer && !bearer.StartsWith(ApiKey.Mark, StringComparison.Ordinal))
            return await AcceptTokenAsync(bearer);
        var (row, refusal) = await keys.CheckAsync(BearerToken.Read(Request) ?? ReadPassword(), HowToShow, Context.Connection.RemoteIpAddress, Context.RequestAborted);
        return refusal is null ? Accept(new Caller(row!.Tenant, row.Scopes), row.Id) : Refuse(refusal);
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        var refusal = _refusal ?? new KeyRefusal(KeyRefusal.Missing, "The request has no key.");
        if (refusal.Wait is { } wait)
        {
            Response.Headers.RetryAfter = Math.Ceiling(wait.TotalSeconds).ToString(CultureInfo.InvariantCulture);
            return RegistryAnswers.Refuse(StatusCodes.Status429TooManyRequests, RegistryCodes.TooManyRequests, refusal.Detail).ExecuteAsync(Context);
        }
        Challenge(Context, refusal.Code == KeyRefusal.Missing ? null : "invalid_token");
        return RegistryAnswers.Refuse(StatusCodes.Status401Unauthorized, RegistryCodes.Unauthorized, refusal.Detail).ExecuteAsync(Context);
    }

    protected override Task HandleForbiddenAsync(AuthenticationProperties properties)
    {
        var needed = RegistryActions.All.Single(a => a.Action == RegistryActions.Of(Request)).Scope;
        return RegistryAnswers.Refuse(StatusCodes.Status403Forbidden, RegistryCodes.Denied, $"{Request.Method} {Request.Path} needs a key with the scope {needed}.").ExecuteAsync(Context);
    }

    private async Task<AuthenticateResult> AcceptTokenAsync(string text)
    {
        if (tokens.Read(text) is not { } token)
            return Refuse(new KeyRefusal("token-refused", "The token has ended, or is not one of this registry. Get another at /v2/token."));
        var caller = Caller.Local;
        if (token.Key is { } id)
        {
            // A key that is revoked takes its tokens along.
            if (await ring.FindAsync(id, Context.RequestAborted) is not { } row || row.Tenant != token.Tenant)
                return Refuse(new KeyRefusal("key-unknown", $"The key that the token was given for is gone. {KeyCheck.HowToGetOne}."));
            if (keys.Judge(row) is { } refusal)
                return Refuse(refusal);
            caller = new Caller(row.Tenant, row.Scopes);
        }
        else if (requirement.IsRequired || !KeyRequirement.IsLocal(Request))
        {
            return Refuse(new KeyRefusal("key-unknown", $"The token was given without a key, and here one is needed. {KeyCheck.HowToGetOne}."));
        }
        return Accept(caller, token.Key, [new Claim(TokenClaim, "true"), .. token.Access.Select(a => new Claim(AccessClaim, a))]);
    }

    private string? ReadPassword()
    {
        if (Request.Headers.Authorization is not [{ Length: < MaxBasicLength } text] || !text.StartsWith(BasicScheme, StringComparison.OrdinalIgnoreCase))
            return null;
        var bytes = new byte[MaxBasicLength];
        if (!Convert.TryFromBase64String(text[BasicScheme.Length..].Trim(), bytes, out var length))
            return null;
        var pair = Encoding.Latin1.GetString(bytes, 0, length);
        return pair.IndexOf(':', StringComparison.Ordinal) is >= 0 and var colon ? pair[(colon + 1)..] : null;
    }

    private static AuthenticateResult Accept(Caller caller, Guid? key, IEnumerable<Claim>? more = null)
    {
        var principal = caller.ToPrincipal(SchemeName);
        var identity = (ClaimsIdentity)principal.Identity!;
        if (key is { } id)
            identity.AddClaim(new Claim(KeyClaim, id.ToString()));
        identity.AddClaims(more ?? []);
        return AuthenticateResult.Success(new AuthenticationTicket(principal, SchemeName));
    }

    private AuthenticateResult Refuse(KeyRefusal refusal)
    {
        _refusal = refusal;
        return AuthenticateResult.Fail(refusal.Code);
    }
}
