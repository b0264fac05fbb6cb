using System.Net;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.PipelineApi;

namespace TinyMLaaS.Services.Tests.Accounts;

public sealed class KeyTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_key_is_shown_once_kept_as_a_hash_and_found_again_by_its_prefix()
    {
        await using var server = await AccountsUnderTest.StartAsync(_folder, requireKey: false);
        var made = await server.CreateKeyAsync(null, Tenants.Default, [Scopes.RunsRead, Scopes.KeysAdmin], days: 7);

        Assert.Matches("^tml_[a-z0-9]{8}_[A-Za-z0-9_-]{43}$", made.Key);
        Assert.Equal((made.Key![..12], made.CreatedAt + TimeSpan.FromDays(7), null), (made.Prefix, made.ExpiresAt, made.LastUsedAt));
        var before = await server.JsonAsync(HttpMethod.Get, "/v1/keys", key: null);
        Assert.DoesNotContain(made.Key, before.ToJsonString(), StringComparison.Ordinal);
        await server.JsonAsync(HttpMethod.Get, "/v1/runs", made.Key);
        var listed = JsonSerializer.Deserialize<Page<KeyResource>>((await server.JsonAsync(HttpMethod.Get, "/v1/keys", made.Key)).ToJsonString(), ContractJson.Options)!;
        var one = Assert.Single(listed.Items);
        Assert.Equal((made.Id, made.Prefix, null), (one.Id, one.Prefix, one.Key));
        Assert.Equal([Scopes.RunsRead, Scopes.KeysAdmin], one.Scopes);
        Assert.NotNull(one.LastUsedAt);
        await using var scope = server.Services.CreateAsyncScope();
        var row = await scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().Keys.SingleAsync(AccountsUnderTest.Cancellation);
        Assert.Equal(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(made.Key))), row.Hash);
    }

    [Fact]
    public async Task A_key_gives_out_only_what_it_has_and_only_in_its_tenant()
    {
        var (server, operatorKey) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        var admin = (await server.CreateKeyAsync(operatorKey, "tenant-a", [Scopes.KeysAdmin, Scopes.RunsRead])).Key!;
        var other = await server.CreateKeyAsync(operatorKey, "tenant-b", [Scopes.RunsRead]);

        var more = await ApiUnderTest.ProblemAsync(
            await server.SendAsync(HttpMethod.Post, "/v1/keys", admin, new { name = "more", scopes = new[] { Scopes.RunsRead, Scopes.RunsWrite } }), HttpStatusCode.Forbidden, "scope-missing");
        Assert.Contains(Scopes.RunsWrite, more.Detail, StringComparison.Ordinal);
        await ApiUnderTest.ProblemAsync(
            await server.SendAsync(HttpMethod.Post, "/v1/keys", admin, new { name = "x", tenant = "tenant-b", scopes = new[] { Scopes.RunsRead } }), HttpStatusCode.Forbidden, "scope-missing");
        await ApiUnderTest.ProblemAsync(await server.SendAsync(HttpMethod.Delete, $"/v1/keys/{other.Id}", admin), HttpStatusCode.NotFound, "key-not-found");
        // Whoever operates the installation may; and again changes nothing.
        for (var i = 0; i < 2; i++)
        {
            using var revoked = await server.SendAsync(HttpMethod.Delete, $"/v1/keys/{other.Id}", operatorKey);
            Assert.Equal(HttpStatusCode.NoContent, revoked.StatusCode);
        }
        await ApiUnderTest.ProblemAsync(await server.SendAsync(HttpMethod.Get, "/v1/runs", other.Key), HttpStatusCode.Unauthorized, "key-revoked");
    }

    [Theory]
    [InlineData("""{"name":"a b","scopes":["runs:read"]}""", "invalid-name")]
    [InlineData("""{"name":"a","scopes":["runs:all"]}""", "unknown-scope")]
    [InlineData("""{"name":"a","scopes":[]}""", "missing-field")]
    [InlineData("""{"name":"a","scopes":"runs:read"}""", "wrong-type")]
    [InlineData("""{"name":"a","scopes":["runs:read"],"days":367}""", "out-of-range")]
    [InlineData("""{"name":"a","scopes":["runs:read"],"tenant":"../b"}""", "invalid-name")]
    [InlineData("""{"name":"a","scopes":["runs:read"],"expires":1}""", "unknown-field")]
    public async Task A_key_that_cannot_be_is_refused(string body, string code)
    {
        await using var server = await AccountsUnderTest.StartAsync(_folder, requireKey: false);

        using var request = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
        var problem = await ApiUnderTest.ProblemAsync(await server.Http.PostAsync("/v1/keys", request, AccountsUnderTest.Cancellation), HttpStatusCode.BadRequest, "invalid-request");
        Assert.Equal([code], problem.Errors.Select(e => e.Code));
    }

    [Theory]
    [InlineData("Host", "rebound.example")]
    [InlineData("Origin", "https://rebound.example")]
    [InlineData("Sec-Fetch-Site", "cross-site")]
    public async Task A_page_of_another_origin_in_a_browser_of_this_machine_is_not_its_user(string header, string value)
    {
        await using var server = await AccountsUnderTest.StartAsync(_folder, requireKey: false);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/runs");
        request.Headers.TryAddWithoutValidation(header, value);

        await ApiUnderTest.ProblemAsync(await server.Http.SendAsync(request, AccountsUnderTest.Cancellation), HttpStatusCode.Unauthorized, "key-missing");
        await server.JsonAsync(HttpMethod.Get, "/v1/runs", key: null);
    }

    [Theory]
    [InlineData("tml_short")]
    [InlineData("tml_aaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    public async Task A_key_that_nobody_made_is_refused_also_where_none_is_needed(string key)
    {
        await using var server = await AccountsUnderTest.StartAsync(_folder, requireKey: false);

        await ApiUnderTest.ProblemAsync(await server.SendAsync(HttpMethod.Get, "/v1/runs", key), HttpStatusCode.Unauthorized, "key-unknown");
    }

    [Fact]
    public async Task Guessing_ends_in_429_and_a_key_that_was_good_goes_on()
    {
        var (server, key) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        await server.JsonAsync(HttpMethod.Get, "/v1/runs", key);
        var answers = new List<HttpStatusCode>();
        for (var i = 0; i < 2 * RefusedKeys.Burst; i++)
        {
            using var answer = await server.SendAsync(HttpMethod.Get, "/v1/runs", ApiKey.New().Text);
            answers.Add(answer.StatusCode);
            if (answer.StatusCode == HttpStatusCode.TooManyRequests)
                Assert.InRange(answer.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, RefusedKeys.Refill.TotalSeconds);
        }

        Assert.Contains(HttpStatusCode.TooManyRequests, answers);
        Assert.InRange(answers.Count(a => a == HttpStatusCode.Unauthorized), RefusedKeys.Burst, (2 * RefusedKeys.Burst) - 1);
        await server.JsonAsync(HttpMethod.Get, "/v1/runs", key);
    }

    [Fact]
    public async Task Does_not_start_where_keys_are_needed_and_none_is_accepted()
    {
        var none = await Assert.ThrowsAsync<StartRefusedException>(() => AccountsUnderTest.StartAsync(_folder, requireKey: true));
        Assert.Equal("no-keys", none.Code);
        Assert.Contains("'tinyml key create NAME'", none.Message, StringComparison.Ordinal);
        await using (var local = await AccountsUnderTest.StartAsync(_folder, requireKey: false))
            await local.ExpireAsync((await local.CreateKeyAsync(null, Tenants.Default, [Scopes.RunsRead])).Id);

        Assert.Equal("no-keys", (await Assert.ThrowsAsync<StartRefusedException>(() => AccountsUnderTest.StartAsync(_folder, requireKey: true))).Code);
    }

    [Fact]
    public void An_address_that_others_can_reach_needs_keys_whatever_the_options_say()
    {
        IReadOnlyList<ServiceListener> open = [new("pipeline-api", new IPEndPoint(IPAddress.Any, 80), null)];
        IReadOnlyList<ServiceListener> local = [new("pipeline-api", new IPEndPoint(IPAddress.IPv6Loopback, 80), null), new("orchestrator", new IPEndPoint(IPAddress.Any, 80), null)];

        Assert.True(new KeyRequirement(open, Options.Create(new TinyMLaaS.PipelineApi.PipelineApiOptions())).IsRequired);
        Assert.False(new KeyRequirement(local, Options.Create(new TinyMLaaS.PipelineApi.PipelineApiOptions())).IsRequired);
        var options = new TinyMLaaS.PipelineApi.PipelineApiOptions { RequireKey = false };
        Assert.Contains("0.0.0.0:80, which is more than loopback", new KeyRequirementValidation(open).Validate(null, options).FailureMessage, StringComparison.Ordinal);
        Assert.True(new KeyRequirementValidation(local).Validate(null, options).Succeeded);
    }
}
