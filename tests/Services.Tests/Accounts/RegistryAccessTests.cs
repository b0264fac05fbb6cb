using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.PipelineApi.Registry;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.ArtifactStore;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Accounts;

/// <summary>Who may pull and push what, through pipeline-api: keys, the tokens that are given for them, and tenants.</summary>
public sealed class RegistryAccessTests : IDisposable
{
    private const string Repository = "acme/factory/keywords";

    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => AccountsUnderTest.Cancellation;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Without_a_key_a_client_is_told_where_to_get_a_token_and_for_what()
    {
        var (server, _) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        var host = server.Http.BaseAddress!.Authority;

        foreach (var (method, path, scope) in new[]
        {
            ("GET", "/v2/", ""),
            ("GET", $"/v2/{Repository}/manifests/1", $",scope=\"repository:{Repository}:pull\""),
            ("HEAD", $"/v2/{Repository}/manifests/1", $",scope=\"repository:{Repository}:pull\""),
            ("POST", $"/v2/{Repository}/blobs/uploads/", $",scope=\"repository:{Repository}:pull,push\""),
            ("PUT", $"/v2/{Repository}/manifests/1", $",scope=\"repository:{Repository}:pull,push\""),
            ("DELETE", $"/v2/{Repository}/manifests/1", $",scope=\"repository:{Repository}:pull,push\""),
            ("GET", "/v2/token", ""),
        })
        {
            using var answer = await server.SendAsync(new HttpMethod(method), path, key: null);

            Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
            Assert.Equal($"Bearer realm=\"http://{host}/v2/token\",service=\"tinymlaas\"{scope}", answer.Headers.WwwAuthenticate.ToString().Replace(", ", ",", StringComparison.Ordinal));
            if (method != "HEAD")
                await ErrorAsync(answer, "UNAUTHORIZED");
        }
    }

    [Fact]
    public async Task The_address_of_tokens_is_the_one_that_the_client_knows()
    {
        var (server, _) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v2/") { Headers = { Host = "models.example:8443" } };
        request.Headers.Add("X-Forwarded-Proto", "https");

        using var answer = await server.Http.SendAsync(request, Cancellation);

        Assert.StartsWith("Bearer realm=\"https://models.example:8443/v2/token\"", answer.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_token_for_a_key_pulls_and_pushes_as_the_key_may_and_a_key_works_by_itself()
    {
        var (server, operatorKey) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        var writer = (await server.CreateKeyAsync(operatorKey, "acme", Scopes.OfTenant)).Key!;
        var reader = (await server.CreateKeyAsync(operatorKey, "acme", [Scopes.ArtifactsRead])).Key!;
        var none = (await server.CreateKeyAsync(operatorKey, "acme", [Scopes.RunsRead])).Key!;
        var image = new ImageFile();
        using (var stored = await server.Http.SendAsync(new HttpRequestMessage(HttpMethod.Post, "/v1/artifacts?kind=oci-image") { Content = new ByteArrayContent(image.Write()), Headers = { Authorization = new AuthenticationHeaderValue("Bearer", writer) } }, Cancellation))
            Assert.Equal(HttpStatusCode.Created, stored.StatusCode);
        var blob = "a layer"u8.ToArray();
        var push = $"/v2/{Repository}/blobs/uploads/?digest={ImageFile.DigestOf(blob)}";

        foreach (var authorization in new[] { Bearer(await TokenAsync(server, reader, "pull,push")), Bearer(reader), Basic(reader) })
        {
            using var manifest = await SendAsync(server, HttpMethod.Get, $"/v2/{Repository}/manifests/1", authorization);
            Assert.Equal(image.Blob(image.Digest), await manifest.Content.ReadAsByteArrayAsync(Cancellation));
            Assert.Equal(image.Digest, manifest.Headers.GetValues("Docker-Content-Digest").Single());
            Assert.Equal(ImageFile.Manifest, manifest.Content.Headers.ContentType?.MediaType);
            using var layer = await SendAsync(server, HttpMethod.Get, $"/v2/{Repository}/blobs/{image.FirstLayer}", authorization);
            Assert.Equal(image.Blob(image.FirstLayer), await layer.Content.ReadAsByteArrayAsync(Cancellation));
            using var head = await SendAsync(server, HttpMethod.Head, $"/v2/{Repository}/blobs/{image.FirstLayer}", authorization);
            Assert.Equal(image.Blob(image.FirstLayer).Length, head.Content.Headers.ContentLength);
        }
        using (var refused = await SendAsync(server, HttpMethod.Post, push, Basic(reader), blob))
        {
            Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
            await ErrorAsync(refused, "DENIED");
        }
        using (var refused = await SendAsync(server, HttpMethod.Post, push, Bearer(await TokenAsync(server, reader, "pull,push")), blob))
            Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        foreach (var lacking in new[] { await TokenAsync(server, writer, "pull"), await TokenAsync(server, writer, "pull,push", "acme/other") })
        {
            using var refused = await SendAsync(server, HttpMethod.Post, push, Bearer(lacking), blob);
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
            Assert.Contains($"scope=\"repository:{Repository}:pull,push\"", refused.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
            Assert.Contains("error=\"insufficient_scope\"", refused.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
            await ErrorAsync(refused, "DENIED");
        }
        using (var refused = await SendAsync(server, HttpMethod.Get, $"/v2/{Repository}/manifests/1", Basic(none)))
            Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        foreach (var authorization in new[] { Bearer(await TokenAsync(server, writer, "*")), Bearer(writer), Basic(writer) })
        {
            using var pushed = await SendAsync(server, HttpMethod.Post, push, authorization, blob);
            Assert.Equal(HttpStatusCode.Created, pushed.StatusCode);
            Assert.Equal($"/v2/{Repository}/blobs/{ImageFile.DigestOf(blob)}", pushed.Headers.Location?.ToString());
        }
        // What begins a conversation needs a key that is accepted, and nothing else.
        foreach (var authorization in new[] { Bearer(await TokenAsync(server, none, "")), Basic(none) })
        {
            using var welcome = await SendAsync(server, HttpMethod.Get, "/v2/", authorization);
            Assert.Equal((HttpStatusCode.OK, "registry/2.0"), (welcome.StatusCode, welcome.Headers.GetValues("Docker-Distribution-Api-Version").Single()));
        }
    }

    [Fact]
    public async Task A_tenant_sees_nothing_of_another()
    {
        var (server, operatorKey) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        var (acme, other) = ((await server.CreateKeyAsync(operatorKey, "acme", Scopes.OfTenant)).Key!, (await server.CreateKeyAsync(operatorKey, "other", Scopes.OfTenant)).Key!);
        var image = new ImageFile();
        using (var stored = await server.Http.SendAsync(new HttpRequestMessage(HttpMethod.Post, "/v1/artifacts?kind=oci-image") { Content = new ByteArrayContent(image.Write()), Headers = { Authorization = new AuthenticationHeaderValue("Bearer", acme) } }, Cancellation))
            Assert.Equal(HttpStatusCode.Created, stored.StatusCode);

        foreach (var path in (string[])["manifests/1", $"manifests/{image.Digest}", $"blobs/{image.FirstLayer}", "tags/list", $"referrers/{image.Digest}"])
        {
            using var key = await SendAsync(server, HttpMethod.Get, $"/v2/{Repository}/{path}", Basic(other));
            Assert.Equal(HttpStatusCode.NotFound, key.StatusCode);
            await ErrorAsync(key, "NAME_UNKNOWN");
            using var token = await SendAsync(server, HttpMethod.Get, $"/v2/{Repository}/{path}", Bearer(await TokenAsync(server, other, "pull")));
            Assert.Equal(HttpStatusCode.Unauthorized, token.StatusCode);
            await ErrorAsync(token, "DENIED");
        }
    }

    [Fact]
    public async Task A_token_ends_with_its_key_and_cannot_be_made_up_or_renewed()
    {
        var (server, operatorKey) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        var (revoked, expired, good) = (await server.CreateKeyAsync(operatorKey, "acme", Scopes.OfTenant), await server.CreateKeyAsync(operatorKey, "acme", Scopes.OfTenant), await server.CreateKeyAsync(operatorKey, "acme", Scopes.OfTenant));
        var tokens = new List<string> { await TokenAsync(server, revoked.Key!, "pull"), await TokenAsync(server, expired.Key!, "pull") };
        foreach (var token in tokens)
        {
            using var before = await SendAsync(server, HttpMethod.Get, $"/v2/{Repository}/manifests/1", Bearer(token));
            Assert.Equal(HttpStatusCode.NotFound, before.StatusCode);
        }
        using (var gone = await server.SendAsync(HttpMethod.Delete, $"/v1/keys/{revoked.Id}", operatorKey))
            Assert.Equal(HttpStatusCode.NoContent, gone.StatusCode);
        await server.ExpireAsync(expired.Id);
        var own = await TokenAsync(server, good.Key!, "pull");
        var (payload, signature) = (own.Split('.')[0], own.Split('.')[1]);
        var more = System.Buffers.Text.Base64Url.EncodeToString(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(System.Buffers.Text.Base64Url.DecodeFromChars(payload)).Replace(" pull", " push", StringComparison.Ordinal)));
        tokens.AddRange([$"{more}.{signature}", $"{payload}.", $"{payload}.{signature[..^2]}", $".{signature}", payload, "null", $"{payload}.{signature}.{signature}", new string('a', 20_000)]);

        foreach (var token in tokens)
        {
            using var answer = await SendAsync(server, HttpMethod.Get, $"/v2/{Repository}/manifests/1", $"Bearer {token}");
            Assert.True(answer.StatusCode == HttpStatusCode.Unauthorized, $"{(int)answer.StatusCode} for {token[..Math.Min(50, token.Length)]}");
            await ErrorAsync(answer, "UNAUTHORIZED");
        }
        using (var renewed = await SendAsync(server, HttpMethod.Get, "/v2/token", Bearer(own)))
            Assert.Equal(HttpStatusCode.Unauthorized, renewed.StatusCode);
        // It is no key for what is not the registry.
        using (var elsewhere = await server.SendAsync(HttpMethod.Get, "/v1/models", own))
            Assert.Equal(HttpStatusCode.Unauthorized, elsewhere.StatusCode);
    }

    [Theory]
    [InlineData("Basic")]
    [InlineData("Basic !")]
    [InlineData("Basic bm9jb2xvbg==")]
    [InlineData("Basic dXNlcjp3cm9uZw==")]
    [InlineData("Digest username=\"a\"")]
    public async Task What_is_no_key_is_refused(string authorization)
    {
        var (server, _) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;

        using var answer = await SendAsync(server, HttpMethod.Get, "/v2/token", authorization);

        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
        await ErrorAsync(answer, "UNAUTHORIZED");
    }

    [Fact]
    public async Task Who_guesses_keys_has_to_wait()
    {
        var (server, _) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        for (var i = 0; i < 20; i++)
            (await SendAsync(server, HttpMethod.Get, "/v2/token", Basic($"guess{i}"))).Dispose();

        using var answer = await SendAsync(server, HttpMethod.Get, "/v2/token", Basic("guess"));

        Assert.Equal(HttpStatusCode.TooManyRequests, answer.StatusCode);
        Assert.NotNull(answer.Headers.RetryAfter);
        await ErrorAsync(answer, "TOOMANYREQUESTS");
    }

    [Fact]
    public async Task Who_asks_for_too_much_is_refused()
    {
        var (server, key) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        using var answer = await SendAsync(server, HttpMethod.Get, $"/v2/token?{string.Join('&', Enumerable.Range(0, 17).Select(i => $"scope=repository:default/{i}:pull"))}", Basic(key));

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    [Fact]
    public async Task On_loopback_without_keys_a_client_needs_nothing_and_gets_a_token_if_it_asks()
    {
        await using var server = await AccountsUnderTest.StartAsync(_folder, requireKey: false);
        using (var welcome = await server.SendAsync(HttpMethod.Get, "/v2/", key: null))
            Assert.Equal(HttpStatusCode.OK, welcome.StatusCode);
        using (var given = await server.SendAsync(HttpMethod.Get, "/v2/token?scope=repository:default/a:pull", key: null))
        {
            var token = (string)JsonNode.Parse(await given.Content.ReadAsStringAsync(Cancellation))!["token"]!;
            using var answer = await SendAsync(server, HttpMethod.Get, "/v2/default/a/manifests/1", Bearer(token));
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
            await ErrorAsync(answer, "MANIFEST_UNKNOWN");
        }
        // A page of another origin in a browser of this machine is not its user.
        using var foreign = new HttpRequestMessage(HttpMethod.Get, "/v2/token") { Headers = { { "Origin", "https://evil.example" } } };
        using var refused = await server.Http.SendAsync(foreign, Cancellation);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
    }

    [Fact]
    public async Task Instances_with_the_same_credentials_accept_each_others_tokens_and_no_others()
    {
        var file = _folder["credentials"];
        await File.WriteAllLinesAsync(file, [new string('n', 32), new string('o', 32)], Cancellation);
        await using var first = await AccountsUnderTest.StartAsync(_folder, requireKey: false, new() { ["Services:CredentialFile"] = file });
        var signed = Tokens(first).Sign("acme", null, ["acme/a pull"]);
        Assert.Equal("acme/a pull", Assert.Single(Tokens(first).Read(signed)!.Access));

        // The other one follows it in the file, or comes before: both are accepted while they change.
        foreach (var (lines, accepted) in new[] { (new[] { 'n' }, true), (['x', 'n'], true), (['o'], false), (['x'], false) })
        {
            var other = _folder["other-credentials"];
            await File.WriteAllLinesAsync(other, lines.Select(c => new string(c, 32)), Cancellation);
            using var folder = new TemporaryFolder();
            await using var second = await AccountsUnderTest.StartAsync(folder, requireKey: false, new() { ["Services:CredentialFile"] = other });
            Assert.Equal(accepted, Tokens(second).Read(signed) is not null);
        }
    }

    [Fact]
    public async Task A_token_ends_after_five_minutes()
    {
        await using var server = await AccountsUnderTest.StartAsync(_folder, requireKey: false);
        var time = new FakeTimeProvider();
        var tokens = new RegistryTokens(server.Services.GetRequiredService<SharedKeys>(), time);
        var token = tokens.Sign("acme", null, []);

        time.Advance(TimeSpan.FromSeconds(299));
        Assert.NotNull(tokens.Read(token));
        time.Advance(TimeSpan.FromSeconds(2));

        Assert.Null(tokens.Read(token));
    }

    [Fact]
    public async Task Without_the_store_the_registry_says_so_in_its_own_words()
    {
        await using var api = await PipelineApi.ApiUnderTest.StartAsync(_folder, without: "artifact-store");

        using var answer = await api.Http.GetAsync("/v2/default/a/manifests/1", Cancellation);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        await ErrorAsync(answer, "UNAVAILABLE");
    }

    private static RegistryTokens Tokens(AccountsUnderTest server) => server.Services.GetRequiredService<RegistryTokens>();

    private static string Bearer(string token) => $"Bearer {token}";

    private static string Basic(string key) => "Basic " + Convert.ToBase64String(Encoding.ASCII.GetBytes($"anybody:{key}"));

    private static async Task<string> TokenAsync(AccountsUnderTest server, string key, string actions, string repository = Repository)
    {
        using var answer = await SendAsync(server, HttpMethod.Get, $"/v2/token?account=anybody&service=tinymlaas{(actions.Length > 0 ? $"&scope=repository:{repository}:{actions}" : "")}", Basic(key));
        var json = JsonNode.Parse(await answer.Content.ReadAsStringAsync(Cancellation))!;
        Assert.Equal((HttpStatusCode.OK, 300, "no-store"), (answer.StatusCode, (int)json["expires_in"]!, answer.Headers.CacheControl?.ToString()));
        Assert.Equal((string)json["token"]!, (string)json["access_token"]!);
        return (string)json["token"]!;
    }

    private static async Task<HttpResponseMessage> SendAsync(AccountsUnderTest server, HttpMethod method, string path, string authorization, byte[]? body = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new ByteArrayContent(body) };
        request.Headers.TryAddWithoutValidation("Authorization", authorization);
        return await server.Http.SendAsync(request, Cancellation);
    }

    private static async Task ErrorAsync(HttpResponseMessage answer, string code)
    {
        var text = await answer.Content.ReadAsStringAsync(Cancellation);
        Assert.Equal("application/json", answer.Content.Headers.ContentType?.MediaType);
        Assert.Equal(code, (string)Assert.Single(JsonNode.Parse(text)!["errors"]!.AsArray())!["code"]!);
    }
}
