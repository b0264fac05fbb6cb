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
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory log, UrlEncoder encoder, KeyRing keys, KeyRequirement requirement, RefusedKeys refused, TimeProvider time)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, log, encoder)
{
    public const string SchemeName = "api-key";

    private const string Realm = "Bearer realm=\"tinymlaas\"";
    private const string HowToGetOne = "Make one with 'tinyml key create', or ask whoever may";

    // Set by authentication, said by the challenge that follows it in the same request.
    private Refusal? _refusal;

    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (!Request.Headers.ContainsKey("Authorization"))
        {
            if (!requirement.IsRequired && KeyRequirement.IsLocal(Request))
                return Accept(Caller.Local);
            _refusal = new Refusal("key-missing", requirement.IsRequired
                ? $"The request has no key. Send it as 'Authorization: Bearer KEY' (tinyml: --key or TINYML_KEY). {HowToGetOne}."
                : "Requests without a key are taken from programs on this machine that address it as 127.0.0.1 or localhost, and not from pages of other origins.");
            return AuthenticateResult.NoResult();
        }
        var key = BearerToken.Read(Request) is { } text ? ApiKey.Read(text) : null;
        var hash = key?.Hash;
        var address = Context.Connection.RemoteIpAddress;
        if (refused.Wait(address, hash) is { Ticks: > 0 } wait)
            return Refuse(new Refusal("too-many-refused-keys", "Too many keys from this address were refused. Try again later, with a key that is accepted.") { Wait = wait });
        var row = hash is null ? null : await keys.FindAsync(hash, Context.RequestAborted);
        var refusal = row switch
        {
            null => new Refusal("key-unknown", $"The key is not one of this installation. Expected 'Authorization: Bearer KEY' with a key that begins with '{ApiKey.Mark}'. {HowToGetOne}."),
            { RevokedAt: { } revoked } => new Refusal("key-revoked", $"The key {row.Prefix} was revoked on {Shown(revoked)}. {HowToGetOne}."),
            { ExpiresAt: var end } when end <= time.GetUtcNow() => new Refusal("key-expired", $"The key {row.Prefix} expired on {Shown(end)}. {HowToGetOne}."),
            _ => null,
        };
        if (refusal is not null)
        {
            refused.Refused(address, hash);
            return Refuse(refusal);
        }
        refused.Accepted(hash!);
        await keys.NoteUseAsync(row!, Context.RequestAborted);
        return Accept(new Caller(row!.Tenant, row.Scopes));
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        var refusal = _refusal ?? new Refusal("key-missing", "The request has no key.");
        if (refusal.Wait is { } wait)
        {
            Response.Headers.RetryAfter = Math.Ceiling(wait.TotalSeconds).ToString(CultureInfo.InvariantCulture);
            return Problems.Result(StatusCodes.Status429TooManyRequests, refusal.Code, "Too many refused keys", refusal.Detail).ExecuteAsync(Context);
        }
        Response.Headers.WWWAuthenticate = refusal.Code == "key-missing" ? Realm : $"{Realm}, error=\"invalid_token\"";
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

    private AuthenticateResult Refuse(Refusal refusal)
    {
        _refusal = refusal;
        return AuthenticateResult.Fail(refusal.Code);
    }

    private static string Shown(DateTimeOffset at) => at.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture) + " UTC";

    private sealed record Refusal(string Code, string Detail)
    {
        public TimeSpan? Wait { get; init; }
    }
}
