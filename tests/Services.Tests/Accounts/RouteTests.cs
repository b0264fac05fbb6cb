using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.PipelineApi;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Accounts;

/// <summary>
/// Every route of pipeline-api, as the process itself lists them, with every kind of key. A route that is added has to be added here with its scope; one that states
/// none is found whatever is added here.
/// </summary>
public sealed class RouteTests : IDisposable
{
    private const string Anybody = "anybody";

    /// <summary>Who has a credential of a service; on loopback, where there is none, everybody.</summary>
    private const string Service = "service";

    private static readonly Dictionary<string, string> Rules = new()
    {
        ["GET /health/live"] = Anybody,
        ["GET /health/ready"] = Anybody,
        ["GET /health/startup"] = Anybody,
        ["GET /metrics"] = Service,
        ["GET /openapi/{documentName}.json"] = Anybody,
        ["POST /v1/keys"] = Scopes.KeysAdmin,
        ["GET /v1/keys"] = Scopes.KeysAdmin,
        ["DELETE /v1/keys/{id:guid}"] = Scopes.KeysAdmin,
        ["POST /v1/artifacts"] = Scopes.ArtifactsWrite,
        ["GET /v1/artifacts/{digest}"] = Scopes.ArtifactsRead,
        ["HEAD /v1/artifacts/{digest}"] = Scopes.ArtifactsRead,
        ["POST /v1/uploads"] = Scopes.ArtifactsWrite,
        ["GET /v1/uploads/{id}"] = Scopes.ArtifactsWrite,
        ["PATCH /v1/uploads/{id}"] = Scopes.ArtifactsWrite,
        ["PUT /v1/uploads/{id}"] = Scopes.ArtifactsWrite,
        ["DELETE /v1/uploads/{id}"] = Scopes.ArtifactsWrite,
        ["POST /v1/models"] = Scopes.RunsWrite,
        ["GET /v1/models"] = Scopes.RunsRead,
        ["GET /v1/models/{id:guid}"] = Scopes.RunsRead,
        ["POST /v1/datasets"] = Scopes.RunsWrite,
        ["GET /v1/datasets"] = Scopes.RunsRead,
        ["GET /v1/datasets/{name}"] = Scopes.RunsRead,
        ["DELETE /v1/datasets/{name}"] = Scopes.RunsWrite,
        ["GET /v1/transformers"] = Scopes.RunsRead,
        ["GET /v1/transformers/{worker}/{name}"] = Scopes.RunsRead,
        ["POST /v1/pipelines"] = Scopes.RunsWrite,
        ["GET /v1/pipelines"] = Scopes.RunsRead,
        ["GET /v1/pipelines/{name}"] = Scopes.RunsRead,
        ["PUT /v1/pipelines/{name}"] = Scopes.RunsWrite,
        ["DELETE /v1/pipelines/{name}"] = Scopes.RunsWrite,
        ["POST /v1/pipelines/validate"] = Scopes.RunsRead,
        ["POST /v1/runs"] = Scopes.RunsWrite,
        ["GET /v1/runs"] = Scopes.RunsRead,
        ["GET /v1/events"] = Scopes.RunsRead,
        ["GET /v1/runs/{id:guid}"] = Scopes.RunsRead,
        ["POST /v1/runs/{id:guid}/cancel"] = Scopes.RunsWrite,
        ["POST /v1/runs/{id:guid}/resume"] = Scopes.RunsWrite,
        ["GET /v1/runs/{id:guid}/steps/{step:int}"] = Scopes.RunsRead,
        ["GET /v1/runs/{id:guid}/steps/{step:int}/logs"] = Scopes.RunsRead,
        ["GET /v1/runs/{id:guid}/steps/{step:int}/report"] = Scopes.RunsRead,
        ["GET /v1/runs/{id:guid}/steps/{step:int}/outputs"] = Scopes.RunsRead,
        ["GET /v2"] = "registry",
        ["HEAD /v2"] = "registry",
        ["GET /v2/token"] = "registry",
        ["GET /v2/{**path}"] = "registry-pull",
        ["HEAD /v2/{**path}"] = "registry-pull",
        ["POST /v2/{**path}"] = "registry-push",
        ["PUT /v2/{**path}"] = "registry-push",
        ["PATCH /v2/{**path}"] = "registry-push",
        ["DELETE /v2/{**path}"] = "registry-push",
    };

    /// <summary>Routes of a resource that answer somebody else otherwise than 404, on purpose: one belongs to the installation, one makes what is not there.</summary>
    private static readonly string[] NotOwned = ["GET /v1/transformers/{worker}/{name}", "PUT /v1/pipelines/{name}"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_route_states_the_scope_that_it_is_known_for()
    {
        Assert.Equal(
            Rules.Select(r => $"{r.Key}: {r.Value}").Order(StringComparer.Ordinal),
            Routes().Select(r => $"{r.Name}: {r.Rule}").Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Every_route_refuses_without_a_key_and_with_one_that_does_not_permit_it()
    {
        var (server, all) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        var mine = await server.PossessAsync(all, Tenants.Default, "mine");
        var expired = await server.CreateKeyAsync(all, Tenants.Default, Scopes.All);
        await server.ExpireAsync(expired.Id);
        var revoked = await server.CreateKeyAsync(all, Tenants.Default, Scopes.All);
        using (var gone = await server.SendAsync(HttpMethod.Delete, $"/v1/keys/{revoked.Id}", all))
            Assert.Equal(HttpStatusCode.NoContent, gone.StatusCode);
        var lacking = new Dictionary<string, string>();
        foreach (var scope in Scopes.All)
            lacking[scope] = (await server.CreateKeyAsync(all, Tenants.Default, Scopes.All.Where(s => s != scope))).Key!;

        foreach (var route in Routes().Where(r => !r.IsOfRegistry))
        {
            // So many refusals come from one address that it would be told to wait.
            foreach (var key in (string[])[expired.Key!, revoked.Key!, .. lacking.Values])
                server.Services.GetRequiredService<RefusedKeys>().Accepted(Hash(key));
            var path = route.PathTo(mine);
            if (route.Rule is Anybody or Service)
            {
                using var answer = await server.SendAsync(route.Method, path, key: null);
                Assert.True(answer.StatusCode == HttpStatusCode.OK, $"{route.Name}: {answer.StatusCode}");
                continue;
            }
            await RefusesAsync(server, route, path, key: null, HttpStatusCode.Unauthorized, "key-missing");
            await RefusesAsync(server, route, path, expired.Key, HttpStatusCode.Unauthorized, "key-expired");
            await RefusesAsync(server, route, path, revoked.Key, HttpStatusCode.Unauthorized, "key-revoked");
            var problem = await RefusesAsync(server, route, path, lacking[route.Rule], HttpStatusCode.Forbidden, "scope-missing");
            if (route.Method != HttpMethod.Head)
                Assert.Contains($"needs the scope {route.Rule}.", problem!.Detail, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Every_route_shows_a_tenant_nothing_of_another()
    {
        var (server, operatorKey) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        var (a, b) = ((await server.CreateKeyAsync(operatorKey, "tenant-a", Scopes.OfTenant)).Key!, (await server.CreateKeyAsync(operatorKey, "tenant-b", Scopes.OfTenant)).Key!);
        var mine = await server.PossessAsync(a, "tenant-a", "mine");
        // The same bytes, options and versions: what one tenant's cache knows, the other's must not.
        var theirs = await server.PossessAsync(b, "tenant-b", "theirs");
        Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Head, $"/v1/artifacts/{mine.Artifact}", b)).StatusCode);

        foreach (var route in Routes().Where(r => r.Rule != Anybody && !r.IsOfRegistry))
        {
            var path = route.PathTo(mine);
            using var answer = await server.SendAsync(route.Method, path, b);
            var text = await answer.Content.ReadAsStringAsync(AccountsUnderTest.Cancellation);
            if (route.NamesResource && !NotOwned.Contains(route.Name))
                Assert.True(answer.StatusCode == HttpStatusCode.NotFound, $"{route.Name}: {(int)answer.StatusCode}: {text}");
            // What the request itself names may be said back in a refusal.
            foreach (var id in mine.Ids.Where(id => !path.Contains(id, StringComparison.Ordinal)))
                Assert.DoesNotContain(id, text, StringComparison.Ordinal);
            if (route.Method == HttpMethod.Get)
            {
                using var own = await server.SendAsync(route.Method, path, a);
                Assert.True(own.IsSuccessStatusCode, $"{route.Name} refuses its owner: {(int)own.StatusCode}");
            }
        }

        // Names of the other tenant are names like any other.
        using (var dataset = await server.SendAsync(HttpMethod.Post, "/v1/datasets", b, new { name = "data-mine", artifact = theirs.Data }))
            Assert.Equal(HttpStatusCode.Created, dataset.StatusCode);
        // Digests of the other tenant are digests that nobody has stored.
        foreach (var (path, body) in new (string, object)[]
        {
            ("/v1/models", new { name = "stolen", artifact = mine.Artifact }),
            ("/v1/datasets", new { name = "stolen", artifact = mine.Data }),
            ("/v1/runs", new { model = mine.Artifact, pipeline = "pipeline-theirs" }),
            ("/v1/runs", new { model = mine.Model, pipeline = "pipeline-theirs" }),
            ("/v1/runs", new { model = theirs.Model, pipeline = "pipeline-mine-alone" }),
        })
        {
            using var answer = await server.SendAsync(HttpMethod.Post, path, b, body);
            var text = await answer.Content.ReadAsStringAsync(AccountsUnderTest.Cancellation);
            Assert.True(answer.StatusCode == HttpStatusCode.BadRequest, text);
            Assert.Contains("\"unknown-", text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_step_of_one_tenant_is_no_cache_of_another_and_an_idempotency_key_belongs_to_one()
    {
        var (server, operatorKey) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        var (a, b) = ((await server.CreateKeyAsync(operatorKey, "tenant-a", Scopes.OfTenant)).Key!, (await server.CreateKeyAsync(operatorKey, "tenant-b", Scopes.OfTenant)).Key!);
        var first = await server.PossessAsync(a, "tenant-a", "same");
        var again = await server.PossessAsync(a, "tenant-a", "same");
        var other = await server.PossessAsync(b, "tenant-b", "same");

        Assert.Equal((first.Artifact, first.Output), (other.Artifact, other.Output));
        Assert.Equal((false, true, false), (first.Cached, again.Cached, other.Cached));

        async Task<string> RunAsync(string key)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/runs") { Content = System.Net.Http.Json.JsonContent.Create(new { model = "model-same", pipeline = "pipeline-same" }) };
            request.Headers.Authorization = new System.Net.Http.Headers.AuthenticationHeaderValue("Bearer", key);
            request.Headers.Add("Idempotency-Key", "one");
            using var answer = await server.Http.SendAsync(request, AccountsUnderTest.Cancellation);
            return (string)System.Text.Json.Nodes.JsonNode.Parse(await answer.Content.ReadAsStringAsync(AccountsUnderTest.Cancellation))!["id"]!;
        }
        Assert.Equal(await RunAsync(a), await RunAsync(a));
        Assert.NotEqual(await RunAsync(a), await RunAsync(b));
    }

    private static async Task<Problem?> RefusesAsync(AccountsUnderTest server, Route route, string path, string? key, HttpStatusCode status, string code)
    {
        using var answer = await server.SendAsync(route.Method, path, key);
        var text = await answer.Content.ReadAsStringAsync(AccountsUnderTest.Cancellation);
        Assert.True(answer.StatusCode == status, $"{route.Name}: {(int)answer.StatusCode} instead of {code}: {text}");
        Assert.StartsWith("Bearer ", answer.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
        if (route.Method == HttpMethod.Head)
            return null;
        var problem = JsonSerializer.Deserialize<Problem>(text, ContractJson.Options)!;
        Assert.Equal((code, Problems.MediaType), (problem.Code, answer.Content.Headers.ContentType?.MediaType));
        return problem;
    }

    private static string Hash(string key) => ApiKey.Read(key)!.Hash;

    private static Route[] Routes()
    {
        var app = ServiceHost.Build(
            [new PipelineApiModule()], [new ServiceListener("pipeline-api", new IPEndPoint(IPAddress.Loopback, 0), null)], new Dictionary<string, string?>(), Serilog.Core.Logger.None);
        using var _ = app as IDisposable;
        return [.. app.Services.GetRequiredService<EndpointDataSource>().Endpoints.Cast<RouteEndpoint>().SelectMany(endpoint =>
            endpoint.Metadata.GetRequiredMetadata<IHttpMethodMetadata>().HttpMethods.Select(method => new Route(
                new HttpMethod(method),
                "/" + endpoint.RoutePattern.RawText!.Trim('/'),
                endpoint.Metadata.GetMetadata<IAllowAnonymous>() is not null
                    ? Anybody
                    : string.Join(' ', endpoint.Metadata.GetOrderedMetadata<IAuthorizeData>().Select(a => a.Policy ?? "no policy")))))];
    }

    private sealed record Route(HttpMethod Method, string Pattern, string Rule)
    {
        public string Name => $"{Method} {Pattern}";

        /// <summary>True for a route of one thing and not of a list.</summary>
        public bool NamesResource => Pattern.Contains('{', StringComparison.Ordinal);

        /// <summary>True for what refuses in the words of registries: <see cref="RegistryAccessTests"/> has it.</summary>
        public bool IsOfRegistry => Pattern.StartsWith("/v2", StringComparison.Ordinal);

        /// <summary>An address of the route that means something of theirs.</summary>
        public string PathTo(Possessions theirs) => Pattern
            .Replace("{documentName}", "v1", StringComparison.Ordinal)
            .Replace("{digest}", theirs.Artifact, StringComparison.Ordinal)
            .Replace("uploads/{id}", $"uploads/{theirs.Upload}?digest={theirs.Artifact}", StringComparison.Ordinal)
            .Replace("{step:int}", "1", StringComparison.Ordinal)
            .Replace("{worker}/{name}", "tests/a", StringComparison.Ordinal)
            .Replace("datasets/{name}", $"datasets/data-{theirs.Mark}", StringComparison.Ordinal)
            .Replace("pipelines/{name}", $"pipelines/pipeline-{theirs.Mark}", StringComparison.Ordinal)
            .Replace("models/{id:guid}", $"models/{theirs.Model}", StringComparison.Ordinal)
            .Replace("keys/{id:guid}", $"keys/{theirs.Key}", StringComparison.Ordinal)
            .Replace("runs/{id:guid}", $"runs/{theirs.Run}", StringComparison.Ordinal);
    }
}
