using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Integration.Tests.Security;

/// <summary>
/// An installation as docs/security.md describes it: TLS to the broker, a user of least rights for each service, a credential between services, keys for clients. It runs
/// a pipeline to its end, and none of its secrets is in a log.
/// </summary>
public sealed class SecuredInstallationTests : IAsyncLifetime
{
    private const string Credential = "a-credential-between-services-0123456789";
    private const string Queue = "v1.orchestrator.runs";

    private readonly Services.Tests.Hosting.TemporaryFolder _folder = new();
    private readonly int _tlsPort = ServerProcess.FreePort();
    private string _authority = "";
    private RabbitMqServer _broker = null!;
    private PostgresServer _database = null!;
    private ServicePrograms _programs = null!;

    public async ValueTask InitializeAsync()
    {
        (_authority, var certificate, var key) = TestCertificates.Make(_folder.Path, "broker");
        var broker = RabbitMqServer.StartAsync(
            $"listeners.ssl.default = 127.0.0.1:{_tlsPort}", $"ssl_options.cacertfile = {_authority}", $"ssl_options.certfile = {certificate}", $"ssl_options.keyfile = {key}",
            "ssl_options.verify = verify_none", "ssl_options.fail_if_no_peer_cert = false");
        _database = await PostgresServer.StartAsync();
        _broker = await broker;
        Console.WriteLine($"{nameof(SecuredInstallationTests)}: RabbitMQ {await _broker.VersionAsync()} (process {_broker.Pid}), PostgreSQL {await _database.VersionAsync()} (process {_database.Pid})");
        foreach (var (user, configure, write, read) in Permissions())
        {
            await _broker.ControlAsync("add_user", user, PasswordOf(user));
            await _broker.ControlAsync("set_permissions", "-p", "/", user, configure, write, read);
        }
        await File.WriteAllTextAsync(_folder["credential"], Credential);
        _programs = new ServicePrograms(_broker.Address("%2F"), _database.ConnectionString("postgres"));
        await _programs.MigrateAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_programs is not null)
            await _programs.DisposeAsync();
        if (_broker is not null)
            await _broker.DisposeAsync();
        if (_database is not null)
            await _database.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Runs_a_pipeline_to_its_end_lets_nobody_do_more_than_their_part_and_logs_no_secret()
    {
        // A key of the operator's own making, given at each start of the installation.
        var key = $"tml_abcd0123_{Convert.ToBase64String(System.Security.Cryptography.SHA256.HashData("a key"u8)).Replace('+', '-').Replace('/', '_').TrimEnd('=')}";
        await File.WriteAllTextAsync(_folder["api-key"], key + "\n", Stack.Cancellation);
        for (var i = 0; i < 2; i++)
            Assert.Equal("", await _programs.RunAsync("pipeline-api", "create-key", "acme", "operator", string.Join(',', Scopes.All), _folder["api-key"]));
        await _programs.StartAsync("orchestrator", Options("orchestrator"));
        await _programs.StartAsync("pipeline-api", Options("pipeline-api", ("PipelineApi__RequireKey", "true"), ("PipelineApi__ExpectedWorkers", "compiler")));
        await _programs.StartAsync("artifact-store", Options("artifact-store"));
        await _programs.StartAsync("compiler", Options("compiler"));
        using var http = new HttpClient { BaseAddress = new Uri(_programs.Address("pipeline-api")) };
        await ReadyAsync(http);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);

        var run = await RunAsync(http);
        Assert.True(run.State == RunStates.Succeeded, JsonSerializer.Serialize(run, ContractJson.Options) + _programs.Outputs());
        Assert.Equal("acme", run.Tenant);

        // Services alone.
        foreach (var address in (string[])[$"{_programs.Address("artifact-store")}/v1/artifacts/{run.Model.Digest}", $"{_programs.Address("orchestrator")}/v1/runs/{run.Id}"])
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, address) { Headers = { { "Tiny-Tenant", "acme" } } };
            using var refused = await http.SendAsync(request, Stack.Cancellation);
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        }

        // A worker's user reads no queue but its own, and writes nothing in another's name.
        await using (var connection = await ConnectAsync("compiler"))
        {
            await RefusedAsync(connection, channel => channel.BasicGetAsync(Queue, autoAck: false, Stack.Cancellation));
            await RefusedAsync(connection, channel => channel.BasicPublishAsync(Queue, "", mandatory: false, new BasicProperties(), new byte[1], Stack.Cancellation).AsTask());
            await RefusedAsync(connection, channel => channel.QueueDeleteAsync(Queue, ifUnused: false, ifEmpty: false, cancellationToken: Stack.Cancellation));
            await RefusedAsync(connection, channel => channel.QueueDeclareAsync("mine", cancellationToken: Stack.Cancellation));
            await using var own = await connection.CreateChannelAsync(cancellationToken: Stack.Cancellation);
            Assert.Null(await own.BasicGetAsync("v1.offer.any.compiler", autoAck: false, Stack.Cancellation));
        }

        var log = string.Concat(_programs.Processes.Values.Select(p => p.Output));
        Assert.Contains("\"@t\"", log, StringComparison.Ordinal);
        foreach (var secret in (string[])[key, key[13..], Credential, .. Permissions().Select(p => PasswordOf(p.User)), "for this server alone"])
            Assert.DoesNotContain(secret, log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_broker_whose_certificate_is_not_trusted_gets_no_password_and_is_missed()
    {
        var (stranger, _, _) = TestCertificates.Make(_folder.Path, "stranger");

        await _programs.StartAsync("orchestrator", Options("orchestrator", ("SSL_CERT_FILE", stranger)));

        using var http = new HttpClient { BaseAddress = new Uri(_programs.Address("orchestrator")) };
        await Stack.UntilAsync(() => Task.FromResult(_programs.Processes["orchestrator"].Output.Contains("RemoteCertificate", StringComparison.Ordinal)
            || _programs.Processes["orchestrator"].Output.Contains("remote certificate", StringComparison.OrdinalIgnoreCase)), () => Task.FromResult("nobody complains of the certificate" + _programs.Outputs()));
        var readiness = await http.GetAsync("health/ready", Stack.Cancellation);
        Assert.Contains("message-bus", await readiness.Content.ReadAsStringAsync(Stack.Cancellation), StringComparison.Ordinal);
        Assert.DoesNotContain("orchestrator", await _broker.ControlAsync("list_connections", "--no-table-headers", "user"), StringComparison.Ordinal);
    }

    private static async Task RefusedAsync(IConnection connection, Func<IChannel, Task> action)
    {
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true), Stack.Cancellation);
        await Assert.ThrowsAnyAsync<RabbitMQClientException>(() => action(channel));
        Assert.Equal(403, (int?)channel.CloseReason?.ReplyCode);
    }

    private Task<IConnection> ConnectAsync(string user) =>
        new ConnectionFactory { HostName = "127.0.0.1", Port = _broker.Port, UserName = user, Password = PasswordOf(user), VirtualHost = "/" }.CreateConnectionAsync(Stack.Cancellation);

    private async Task ReadyAsync(HttpClient http) => await Stack.UntilAsync(
        async () =>
        {
            using var answer = await http.GetAsync("health/ready", Stack.Cancellation);
            return (await answer.Content.ReadFromJsonAsync<Readiness>(ContractJson.Options, Stack.Cancellation))!.Missing.Count == 0;
        },
        () => Task.FromResult("it does not get ready" + _programs.Outputs()));

    private async Task<RunResource> RunAsync(HttpClient http)
    {
        using var stored = await http.PostAsync("v1/artifacts?kind=onnx", new ByteArrayContent(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation)), Stack.Cancellation);
        stored.EnsureSuccessStatusCode();
        var model = (await stored.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, Stack.Cancellation))!.Digest;
        using var accepted = await http.PostAsJsonAsync("v1/runs", new { model, pipeline = new { steps = new[] { new { uses = "compiler/fuse" } } } }, Stack.Cancellation);
        var text = await accepted.Content.ReadAsStringAsync(Stack.Cancellation);
        Assert.True(accepted.StatusCode == HttpStatusCode.Accepted, text);
        var run = JsonSerializer.Deserialize<RunResource>(text, ContractJson.Options)!;
        await Stack.UntilAsync(
            async () => RunStates.IsTerminal((run = (await http.GetFromJsonAsync<RunResource>($"v1/runs/{run.Id}", ContractJson.Options, Stack.Cancellation))!).State),
            () => Task.FromResult(JsonSerializer.Serialize(run, ContractJson.Options) + _programs.Outputs()));
        return run;
    }

    private Dictionary<string, string> Options(string service, params (string Name, string Value)[] more)
    {
        var options = new Dictionary<string, string> { ["Services__CredentialFile"] = _folder["credential"], ["SSL_CERT_FILE"] = _authority };
        if (service != "artifact-store")
        {
            // One password in the address, the others in files.
            var inAddress = service == "orchestrator";
            options["Bus__Address"] = $"amqps://{service}{(inAddress ? ":" + PasswordOf(service) : "")}@127.0.0.1:{_tlsPort}/";
            if (!inAddress)
            {
                File.WriteAllText(_folder[$"password-{service}"], PasswordOf(service) + "\n");
                options["Bus__PasswordFile"] = _folder[$"password-{service}"];
            }
        }
        foreach (var (name, value) in more)
            options[name] = value;
        return options;
    }

    private static string PasswordOf(string user) => $"password-of-{user}-0123456789";

    private static IReadOnlyList<(string User, string Configure, string Write, string Read)> Permissions() =>
    [
        .. File.ReadAllLines(Repository.Path("infra/rabbitmq/permissions.txt")).Where(l => l.Length > 0 && l[0] != '#')
            .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Select(p => (p[0], p[1], p[2], p[3])),
    ];
}
