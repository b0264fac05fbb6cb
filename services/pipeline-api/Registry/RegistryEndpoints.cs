using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Extensions;
using Microsoft.AspNetCore.Routing;
using TinyMLaaS.Contracts.Registry;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Artifacts;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Registry;

/// <summary>
/// The registry, streamed through to the artifact-store: what a client may do with which repository is looked at here. Also the tokens by which <c>docker</c> and others carry a key: <c>/v2/token</c> takes the key once and
/// gives what permits some actions on some repositories of its tenant, for minutes.
/// </summary>
internal static class RegistryEndpoints
{
    private const int MostScopes = 16;
    private const string RepositoryScope = "repository";
    private const string EverythingAction = "*";
    private const string DeleteAction = "delete";
    private const string ApiVersion = "Docker-Distribution-Api-Version";
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(60);
    private static readonly string[] Parameters = ["artifactType", "digest", "from", "last", "mount", "n"];

    public static void Map(IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("").ExcludeFromDescription();
        group.MapMethods("/v2", [HttpMethods.Get, HttpMethods.Head], Welcome).RequireAuthorization(RegistryServices.AnyPolicy);
        group.MapGet("/v2/token", GiveToken).RequireAuthorization(RegistryServices.AnyPolicy);
        // Names of repositories hold slashes: one route takes every path.
        group.MapMethods("/v2/{**path}", [HttpMethods.Get, HttpMethods.Head], PassAsync).RequireAuthorization(RegistryServices.PolicyOf(RegistryActions.Pull));
        group.MapMethods("/v2/{**path}", [HttpMethods.Post, HttpMethods.Put, HttpMethods.Patch, HttpMethods.Delete], PassAsync).RequireAuthorization(RegistryServices.PolicyOf(RegistryActions.Push));
    }

    private static IResult Welcome(HttpContext http)
    {
        http.Response.Headers[ApiVersion] = "registry/2.0";
        return Results.Json(new JsonObject());
    }

    private static IResult GiveToken(HttpContext http, Caller caller, RegistryTokens tokens, TimeProvider time)
    {
        // A token is not renewed by itself: then it would never end.
        if (http.User.HasClaim(c => c.Type == RegistryHandler.TokenClaim))
            return RegistryAnswers.Refuse(StatusCodes.Status401Unauthorized, RegistryCodes.Unauthorized, "A token is given for a key and not for a token.");
        var asked = http.Request.Query["scope"].SelectMany(s => (s ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToArray();
        if (asked.Length > MostScopes)
            return RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.Unsupported, $"The request has {asked.Length} scopes. Expected at most {MostScopes}.");
        Guid? key = http.User.FindFirst(RegistryHandler.KeyClaim) is { } claim ? Guid.Parse(claim.Value) : null;
        var token = tokens.Sign(caller.Tenant, key, [.. asked.SelectMany(scope => Permitted(scope, caller)).Distinct()]);
        http.Response.Headers.CacheControl = "no-store";
        return Results.Json(new JsonObject
        {
            ["token"] = token,
            ["access_token"] = token,
            ["expires_in"] = (int)RegistryTokens.Life.TotalSeconds,
            ["issued_at"] = time.GetUtcNow().ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture),
        });
    }

    // What is asked for and not permitted is left out, as clients expect: the request that needs it is refused.
    private static IEnumerable<string> Permitted(string scope, Caller caller)
    {
        // A host in front of the name may hold a port.
        var (type, last) = (scope.IndexOf(':', StringComparison.Ordinal), scope.LastIndexOf(':'));
        if (last <= type || scope[..type] != RepositoryScope || scope[(type + 1)..last] is not { } repository
            || !RepositoryNames.IsName(repository) || !repository.StartsWith($"{caller.Tenant}/", StringComparison.Ordinal))
            return [];
        var actions = scope[(last + 1)..].Split(',');
        return RegistryActions.All
            .Where(a => caller.Has(a.Scope) && (actions.Contains(a.Action) || actions.Contains(EverythingAction) || (a.Action == RegistryActions.Push && actions.Contains(DeleteAction))))
            .Select(a => $"{repository} {a.Action}");
    }

    private static async Task<IResult> PassAsync(HttpContext http, Caller caller, ArtifactStoreUpstream store)
    {
        var (path, refusal) = RegistryPath.Read(http.Request.Path.Value ?? "");
        if (path is null)
            return RegistryAnswers.Refuse(refusal!);
        var action = RegistryActions.Of(http.Request);
        if (http.User.HasClaim(c => c.Type == RegistryHandler.TokenClaim) && !http.User.HasClaim(RegistryHandler.AccessClaim, $"{path.Repository} {action}"))
        {
            // The client asks for another token; when that permits no more, it tells its user.
            RegistryHandler.Challenge(http, "insufficient_scope");
            return RegistryAnswers.Refuse(StatusCodes.Status401Unauthorized, RegistryCodes.Denied, $"The token does not permit to {action} {path.Repository}. The key may not, or the repository is another tenant's.");
        }
        if (path.Tenant != caller.Tenant)
            return RegistryAnswers.Refuse(StatusCodes.Status404NotFound, RegistryCodes.NameUnknown, $"There is no repository '{path.Repository}'. Repositories of the key begin with '{caller.Tenant}/'.");
        var query = new QueryBuilder(Parameters.SelectMany(name => http.Request.Query[name].Take(1).Select(value => KeyValuePair.Create(name, value ?? ""))));
        // What has a body takes the time that the body takes.
        var reads = HttpMethods.IsGet(http.Request.Method) || HttpMethods.IsHead(http.Request.Method) || HttpMethods.IsDelete(http.Request.Method);
        var unavailable = RegistryAnswers.Refuse(
            StatusCodes.Status503ServiceUnavailable, RegistryCodes.Unavailable, $"The service '{store.Service}' is unavailable: it does not answer. Try again; /health/ready says what is missing.");
        return await store.PassAsync(http, path.Text[1..] + query, reads ? AnswerLimit : null, unavailable);
    }
}
