using System.Globalization;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Servers.Testing;

/// <summary>Prometheus of Debian's package, with data of its own, on loopback.</summary>
internal sealed class PrometheusServer : IAsyncDisposable
{
    private const string Program = "/usr/bin/prometheus";
    private const string Tool = "/usr/bin/promtool";
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(3);

    private readonly ServerProcess _process;
    private readonly HttpClient _http;
    private readonly string _data;

    private PrometheusServer(ServerProcess process, int port, string data)
    {
        (_process, _data) = (process, data);
        _http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}/api/v1/"), Timeout = TimeSpan.FromMinutes(1) };
    }

    /// <summary>What it wrote, for messages.</summary>
    public string Output => _process.Output;

    /// <param name="configuration">Path of its configuration, which is checked first, with the rules that it names.</param>
    public static async Task<PrometheusServer> StartAsync(string configuration)
    {
        if (!File.Exists(Program) || !File.Exists(Tool))
            throw new InvalidOperationException($"Prometheus is missing. Install it: {ServerPackages.PrometheusInstallation}");
        await ServerProcess.RunAsync(Tool, ["check", "config", configuration]);
        var (port, data) = (ServerProcess.FreePort(), Directory.CreateTempSubdirectory("tinymlaas-prometheus-").FullName);
        var process = await ServerProcess.StartAsync(
            Program, [$"--config.file={configuration}", $"--storage.tsdb.path={data}", string.Create(CultureInfo.InvariantCulture, $"--web.listen-address=127.0.0.1:{port}"), "--log.level=warn"]);
        await process.ListensAsync(port, StartLimit);
        return new PrometheusServer(process, port, data);
    }

    /// <summary>The series that an expression gives now.</summary>
    /// <exception cref="InvalidOperationException">It cannot be read.</exception>
    public async Task<JsonArray> QueryAsync(string expression, CancellationToken cancellation) =>
        (await GetAsync($"query?query={Uri.EscapeDataString(expression)}", cancellation))["result"]!.AsArray();

    /// <summary>The alerts that are pending or firing.</summary>
    public async Task<JsonArray> AlertsAsync(CancellationToken cancellation) => (await GetAsync("alerts", cancellation))["alerts"]!.AsArray();

    /// <summary>The targets that it reads.</summary>
    public async Task<JsonArray> TargetsAsync(CancellationToken cancellation) => (await GetAsync("targets", cancellation))["activeTargets"]!.AsArray();

    /// <summary>The rules as it has read them, each with its health and last error.</summary>
    public async Task<JsonArray> RulesAsync(CancellationToken cancellation) =>
        [.. (await GetAsync("rules", cancellation))["groups"]!.AsArray().SelectMany(g => g!["rules"]!.AsArray()).Select(r => r!.DeepClone())];

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _process.DisposeAsync();
        Directory.Delete(_data, recursive: true);
    }

    private async Task<JsonNode> GetAsync(string path, CancellationToken cancellation)
    {
        using var answer = await _http.GetAsync(path, cancellation);
        var body = JsonNode.Parse(await answer.Content.ReadAsStringAsync(cancellation))!;
        return (string?)body["status"] == "success" ? body["data"]! : throw new InvalidOperationException($"Prometheus refuses {Uri.UnescapeDataString(path)}: {body["error"]}");
    }
}
