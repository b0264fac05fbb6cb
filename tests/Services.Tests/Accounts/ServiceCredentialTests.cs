using System.Net;
using System.Net.Http.Headers;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Contracts;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.PipelineApi;

namespace TinyMLaaS.Services.Tests.Accounts;

/// <summary>What services show each other.</summary>
public sealed class ServiceCredentialTests : IDisposable
{
    private const string First = "0123456789abcdef0123456789abcdef";
    private const string Second = "another-one-0123456789abcdef0123";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_artifact_store_answers_nobody_without_a_credential_and_everyone_who_has_one_of_the_file()
    {
        await using var store = await StartStoreAsync($"{First}\n{Second}\n");
        var path = $"/v1/artifacts/sha256:{new string('a', 64)}";

        foreach (var shown in (string?[])[null, "wrong", First[..^1], First + "x", $"{First}\n{Second}".Replace('\n', ' ')])
        {
            using var refused = await GetAsync(store, path, shown);
            Assert.StartsWith("Bearer ", refused.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
            await ApiUnderTest.ProblemAsync(refused, HttpStatusCode.Unauthorized, "service-credential-refused");
        }
        foreach (var shown in (string[])[First, Second])
            await ApiUnderTest.ProblemAsync(await GetAsync(store, path, shown), HttpStatusCode.NotFound, "artifact-not-found");
        using var health = await GetAsync(store, "/health/ready", null);
        Assert.Equal(HttpStatusCode.OK, health.StatusCode);
    }

    [Fact]
    public async Task Services_that_share_a_file_work_together_and_clients_do_not_see_it()
    {
        File.WriteAllText(_folder["credential"], First);
        await using var server = await AccountsUnderTest.StartAsync(_folder, requireKey: false, new() { ["Services:CredentialFile"] = _folder["credential"] });

        var made = await server.PossessAsync(null!, Tenants.Default, "shared");
        Assert.NotEqual(made.Artifact, made.Output);
        // A key of a client is no credential of a service, and a credential is no key.
        await ApiUnderTest.ProblemAsync(await server.SendAsync(HttpMethod.Get, "/v1/runs", First), HttpStatusCode.Unauthorized, "key-unknown");
    }

    [Theory]
    [InlineData("short", "credential 1 has 5 characters")]
    [InlineData("", "holds no credential")]
    [InlineData(First + "\nsecond with a space and so on and on", "credential 2")]
    public void A_file_that_cannot_be_used_is_refused_without_its_text(string content, string expected)
    {
        File.WriteAllText(_folder["credential"], content);

        var refused = Assert.Throws<FormatException>(() => ServiceCredential.Read(new ServiceCredentialOptions { CredentialFile = _folder["credential"] }));

        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("second with", refused.Message, StringComparison.Ordinal);
        Assert.Throws<FormatException>(() => ServiceCredential.Read(new ServiceCredentialOptions { CredentialFile = _folder["absent"] }));
    }

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("::1", true)]
    [InlineData("0.0.0.0", false)]
    [InlineData("192.0.2.1", false)]
    public void A_service_that_others_can_reach_needs_a_credential(string address, bool allowed)
    {
        var validation = new ServiceCredentialValidation([new ServiceListener("artifact-store", new IPEndPoint(IPAddress.Parse(address), 1), null)], [new ArtifactStoreModule()]);

        var result = validation.Validate(null, new ServiceCredentialOptions());

        Assert.Equal(allowed, result.Succeeded);
        if (!allowed)
            Assert.Contains("Services__CredentialFile", result.FailureMessage, StringComparison.Ordinal);
        File.WriteAllText(_folder["credential"], First);
        Assert.True(validation.Validate(null, new ServiceCredentialOptions { CredentialFile = _folder["credential"] }).Succeeded);
    }

    [Theory]
    [InlineData("http://127.0.0.1:80", true)]
    [InlineData("unix:/tmp/x", true)]
    [InlineData("http://artifact-store:80", false)]
    public void A_service_elsewhere_is_not_called_without_a_credential(string address, bool allowed)
    {
        var configuration = new Microsoft.Extensions.Configuration.ConfigurationManager();

        Assert.Equal(allowed, new ServiceAddressValidation(configuration).Validate("artifact-store", new ServiceAddressOptions { Address = address }).Succeeded);
        configuration["Services:CredentialFile"] = "a file";
        Assert.True(new ServiceAddressValidation(configuration).Validate("artifact-store", new ServiceAddressOptions { Address = address }).Succeeded);
    }

    private async Task<RunningServices> StartStoreAsync(string credentials)
    {
        File.WriteAllText(_folder["credential"], credentials);
        return await RunningServices.StartAsync(
            [new ArtifactStoreModule()], new Dictionary<string, string?> { ["ArtifactStore:Root"] = _folder["artifacts"], ["Services:CredentialFile"] = _folder["credential"] });
    }

    private static async Task<HttpResponseMessage> GetAsync(RunningServices services, string path, string? credential)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Add(ServiceHeaders.Tenant, "default");
        if (credential is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", credential);
        return await services.Http.SendAsync(request, TestContext.Current.CancellationToken);
    }
}
