using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using RabbitMQ.Client;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Integration.Tests.Telemetry;

/// <summary>
/// The files of infra/observability against a real Prometheus, the real services and a real broker: what they ask for is there, and each alert is silent until its cause is there and fires then. The files are
/// loaded as they are but for where things listen, and how long an alert waits (<c>for:</c>) and Prometheus between two looks: seconds.
/// </summary>
public sealed partial class MonitoringTests(ServersInUse use) : IClassFixture<ServersInUse>
{
    private const int DiskMiB = 48;
    private static readonly int MetricsPort = ServerProcess.FreePort();

    [Fact]
    public async Task Queries_have_series_and_each_alert_is_silent_until_it_has_a_cause()
    {
        using var folder = new TemporaryFolder();
        var broker = await RabbitMqServer.StartAsync(["rabbitmq_prometheus"], [$"prometheus.tcp.port = {MetricsPort}", "prometheus.tcp.ip = 127.0.0.1"]);
        await using var _ = broker;
        Console.WriteLine($"{nameof(MonitoringTests)}: a broker of its own, process {broker.Pid}");
        await using var stack = await Stack.StartAsync(broker.Address("%2F"), await use.Servers.NewDatabaseAsync(), "noop", without: "artifact-store",
            // Long enough for a machine that is busy: in peace no lease runs out.
            environment: new Dictionary<string, string> { ["Orchestrator__LeaseSeconds"] = "15" });
        await stack.StartStoreOnSmallDiskAsync(DiskMiB);
        // A worker that runs on and is of no further interest.
        await stack.StartServiceAsync("installer", "");
        await stack.StartNoOpAsync();
        await stack.ReadyAsync();
        await using var prometheus = await PrometheusServer.StartAsync(Configure(stack, folder));
        string[] alerts = [.. AlertNames().Matches(await File.ReadAllTextAsync(Repository.Path("infra/observability/alerts.yml"), Stack.Cancellation)).Select(m => m.Groups[1].Value)];

        // In peace: a run that succeeds and one that is being worked on.
        var model = await stack.UploadAsync("a network with bytes to count");
        Assert.Equal(RunStates.Succeeded, (await stack.EndedAsync([await stack.RunAsync(model, "noop/copy")]))[0].State);
        // Claimed, and not only offered: the lease of an offer is none.
        var waits = await stack.RunAsync(model, "noop/wait");
        await UntilAsync(stack, prometheus, async () => (await stack.GetAsync(waits))?.State == RunStates.Running);
        await UntilAsync(stack, prometheus, async () => (await prometheus.QueryAsync("tinymlaas_leases_expired_total{pool=\"noop\"} and on (pool) tinymlaas_slots_busy > 0", Stack.Cancellation)).Count == 1);
        await UntilAsync(stack, prometheus, async () => (await prometheus.TargetsAsync(Stack.Cancellation)).All(t => (string?)t!["health"] == "up"));
        // Each rule has been looked at since.
        await UntilAsync(stack, prometheus, async () => (await prometheus.RulesAsync(Stack.Cancellation)).All(r => (string?)r!["health"] == "ok"));
        Assert.Equal(alerts, (await prometheus.RulesAsync(Stack.Cancellation)).Select(r => (string)r!["name"]!));
        await UntilAsync(stack, prometheus, async () => (await prometheus.AlertsAsync(Stack.Cancellation)).Count == 0);

        // Some series there are in peace only, others when something happens.
        var dashboard = JsonNode.Parse(await File.ReadAllTextAsync(Repository.Path("infra/observability/dashboard.json"), Stack.Cancellation))!;
        var later = await WithoutSeriesAsync(prometheus, Queries(dashboard));

        // LeasesExpire, StepsWithoutWorker, ServiceDown, ServiceNotReady: the worker of a step dies.
        await stack.KillAsync("noop");
        // DeadLetters: a message that nobody can read.
        await PublishGarbageAsync(broker);
        // DiskNearlyFull.
        await stack.UploadAsync(RandomNumberGenerator.GetBytes((DiskMiB - 3) << 20));
        await UntilFiringAsync(["LeasesExpire", "StepsWithoutWorker", "ServiceDown", "ServiceNotReady", "DeadLetters", "DiskNearlyFull"]);
        // BrokerAlarm, OutboxOld: the broker has less memory than it wants, and takes nothing; a run is accepted all the same.
        await broker.ControlAsync("set_vm_memory_high_watermark", "absolute", "1");
        await stack.RunAsync(model, "noop/copy");
        await UntilFiringAsync(alerts);

        Assert.Empty(await WithoutSeriesAsync(prometheus, later));
        // Lifted, so that everybody can take leave of it.
        await broker.ControlAsync("set_vm_memory_high_watermark", "0.4");

        Task UntilFiringAsync(string[] expected) => UntilAsync(stack, prometheus, async () =>
            (await prometheus.AlertsAsync(Stack.Cancellation)).Where(a => (string?)a!["state"] == "firing").Select(a => (string)a!["labels"]!["alertname"]!).Distinct().Order(StringComparer.Ordinal)
                .SequenceEqual(expected.Order(StringComparer.Ordinal)));
    }

    [Fact]
    public void Each_alert_says_what_to_do()
    {
        var runbooks = File.ReadAllText(Repository.Path("docs/observability.md"));

        foreach (var rule in File.ReadAllText(Repository.Path("infra/observability/alerts.yml")).Split("      - alert: ")[1..])
        {
            var name = rule[..rule.IndexOf('\n', StringComparison.Ordinal)];
            Assert.Contains($"runbook: docs/observability.md#{name.ToLowerInvariant()}\n", rule + "\n", StringComparison.Ordinal);
            Assert.Contains($"\n#### {name}\n", runbooks, StringComparison.Ordinal);
        }
    }

    /// <summary>Copies the files with the addresses of this stack; the path of the configuration.</summary>
    private static string Configure(Stack stack, TemporaryFolder folder)
    {
        File.WriteAllText(folder["credential"], "none is needed on loopback");
        var text = File.ReadAllText(Repository.Path("infra/observability/prometheus.yml"))
            .Replace("/run/secrets/service-credential", folder["credential"], StringComparison.Ordinal)
            .Replace("scrape_interval: 15s", "scrape_interval: 3s", StringComparison.Ordinal)
            .Replace("evaluation_interval: 15s", "evaluation_interval: 1s", StringComparison.Ordinal)
            .Replace("rabbitmq:15692", string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{MetricsPort}"), StringComparison.Ordinal);
        // The worker that is killed takes the place of one of ours.
        foreach (var (service, here) in ((string, string)[])[("orchestrator", "orchestrator"), ("pipeline-api", "pipeline-api"), ("artifact-store", "artifact-store"), ("compiler", "noop"), ("installer", "installer")])
            text = text.Replace($"\"{service}:8080\"", $"\"{new Uri(stack.Address(here)).Authority}\"", StringComparison.Ordinal);
        Assert.DoesNotContain(":8080", text, StringComparison.Ordinal);
        File.WriteAllText(folder["prometheus.yml"], text);
        File.WriteAllText(folder["alerts.yml"], Waits().Replace(File.ReadAllText(Repository.Path("infra/observability/alerts.yml")), "for: 1s"));
        return folder["prometheus.yml"];
    }

    private static async Task PublishGarbageAsync(RabbitMqServer broker)
    {
        await using var connection = await new ConnectionFactory { Uri = new Uri(broker.Address("%2F")) }.CreateConnectionAsync(Stack.Cancellation);
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Stack.Cancellation);
        await channel.BasicPublishAsync("", "v1.orchestrator.runs", mandatory: true, "this is no message"u8.ToArray(), Stack.Cancellation);
    }

    private static async Task<IReadOnlyList<string>> WithoutSeriesAsync(PrometheusServer prometheus, IEnumerable<string> queries)
    {
        var without = new List<string>();
        foreach (var query in queries)
        {
            if ((await prometheus.QueryAsync(query, Stack.Cancellation)).Count == 0)
                without.Add(query);
        }
        return without;
    }

    private static IEnumerable<string> Queries(JsonNode dashboard) =>
        dashboard["panels"]!.AsArray().SelectMany(p => p!["targets"]!.AsArray()).Select(t => (string)t!["expr"]!).Concat(dashboard["annotations"]!["list"]!.AsArray().Select(a => (string)a!["expr"]!));

    private static Task UntilAsync(Stack stack, PrometheusServer prometheus, Func<Task<bool>> condition) => Stack.UntilAsync(condition, async () =>
        string.Join('\n', (await prometheus.AlertsAsync(Stack.Cancellation)).Concat(await prometheus.TargetsAsync(Stack.Cancellation)).Concat(await prometheus.RulesAsync(Stack.Cancellation)).Select(n => n!.ToJsonString()))
        + prometheus.Output + stack.Outputs());

    [GeneratedRegex("for: [0-9]+[smh]")]
    private static partial Regex Waits();

    [GeneratedRegex("- alert: ([A-Za-z]+)")]
    private static partial Regex AlertNames();
}
