using System.Net;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Services.Tests.Hosting;

/// <summary>Metrics tell of all tenants: who may read them.</summary>
public sealed class MetricsAccessTests : IDisposable
{
    private const string Credential = "a-credential-between-services-0123456789";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("127.0.0.1", false, false, HttpStatusCode.OK)]
    [InlineData("127.0.0.1", true, false, HttpStatusCode.Unauthorized)]
    [InlineData("127.0.0.1", true, true, HttpStatusCode.OK)]
    [InlineData("0.0.0.0", false, false, HttpStatusCode.NotFound)]
    [InlineData("0.0.0.0", true, false, HttpStatusCode.Unauthorized)]
    [InlineData("0.0.0.0", true, true, HttpStatusCode.OK)]
    public async Task Who_has_a_credential_or_is_on_a_machine_that_nobody_else_reaches(string listens, bool needed, bool shown, HttpStatusCode expected)
    {
        var options = new Dictionary<string, string?>();
        if (needed)
        {
            await File.WriteAllTextAsync(_folder["credential"], Credential, TestContext.Current.CancellationToken);
            options["Services:CredentialFile"] = _folder["credential"];
        }
        await using var app = ServiceHost.Build([new Facing()], [new ServiceListener("facing", new IPEndPoint(IPAddress.Parse(listens), 0), null)], options, Serilog.Core.Logger.None);
        await app.StartAsync(TestContext.Current.CancellationToken);
        var port = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single()).Port;
        using var http = new HttpClient();
        if (shown)
            http.DefaultRequestHeaders.Authorization = new("Bearer", Credential);

        using var answer = await http.GetAsync($"http://127.0.0.1:{port}/metrics", TestContext.Current.CancellationToken);

        Assert.Equal(expected, answer.StatusCode);
        await app.StopAsync(TestContext.Current.CancellationToken);
    }

    private sealed class Facing : ServiceModule
    {
        public override string Name => "facing";

        public override bool UsesBus => false;

        public override bool FacesClients => true;

        public override void AddServices(IHostApplicationBuilder builder)
        {
        }
    }
}
