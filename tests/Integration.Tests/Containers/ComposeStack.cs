using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Integration.Tests.Containers;

/// <summary>docker-compose.yml as it is, on images that were built without a registry, under a project, secrets and a port of its own. When it is taken down, nothing of it may be left.</summary>
public sealed class ComposeStack : IAsyncLifetime
{
    private const string Tag = "test";
    private static readonly TimeSpan BuildLimit = TimeSpan.FromMinutes(15);

    private readonly string _project = $"tinymlaas-{Guid.NewGuid():N}"[..18];
    private readonly Services.Tests.Hosting.TemporaryFolder _secrets = new();
    private DockerDaemon _daemon = null!;

    internal static IReadOnlyList<string> Lasting { get; } = ["postgres", "rabbitmq", "artifact-store", "orchestrator", "pipeline-api", "compiler", "installer"];

    internal string Url { get; private set; } = "";

    internal string Key { get; private set; } = "";

    internal HttpClient Http { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        _daemon = await DockerDaemon.StartAsync();
        var began = Stopwatch.GetTimestamp();
        var sizes = await ServerProcess.RunAsync(Repository.Path("infra/images/build"), ["--tag", Tag], Environment, patience: BuildLimit);
        var built = Stopwatch.GetElapsedTime(began);
        await ServerProcess.RunAsync(Repository.Path("infra/secrets/create"), [_secrets.Path]);
        Key = (await File.ReadAllTextAsync(_secrets["api-key"])).Trim();
        var port = ServerProcess.FreePort();
        Environment["TINYMLAAS_ADDRESS"] = string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{port}");
        Url = $"http://{Environment["TINYMLAAS_ADDRESS"]}";
        Http = new HttpClient { BaseAddress = new Uri(Url), DefaultRequestHeaders = { Authorization = new AuthenticationHeaderValue("Bearer", Key) } };
        began = Stopwatch.GetTimestamp();
        await ComposeAsync("up", "--detach");
        await HealthyAsync();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{nameof(ComposeTests)}: {_daemon.Description}; images in {built.TotalSeconds:F0} s, all healthy {Stopwatch.GetElapsedTime(began).TotalSeconds:F0} s after docker-compose up; {sizes[sizes.IndexOf("image ", StringComparison.Ordinal)..]}"));
    }

    public async ValueTask DisposeAsync()
    {
        Http?.Dispose();
        if (_daemon is null)
            return;
        if (Url.Length > 0)
        {
            await ComposeAsync("down", "--volumes", "--timeout", "60");
            foreach (var kind in (string[])["container", "network", "volume"])
            {
                var left = await DockerAsync(kind, "ls", "--quiet", "--filter", $"label=com.docker.compose.project={_project}");
                Assert.True(left.Length == 0, $"docker-compose down left of {kind}s: {left}");
            }
        }
        await _daemon.DisposeAsync();
        _secrets.Dispose();
    }

    private Dictionary<string, string> Environment => field ??= new(StringComparer.Ordinal)
    {
        ["DOCKER_HOST"] = _daemon.Address,
        ["COMPOSE_PROJECT_NAME"] = _project,
        ["TINYMLAAS_TAG"] = Tag,
        ["TINYMLAAS_SECRETS"] = _secrets.Path,
    };

    internal Task<string> ComposeAsync(params string[] arguments) =>
        ServerProcess.RunAsync("docker-compose", ["--file", Repository.Path("docker-compose.yml"), .. arguments], Environment, patience: TimeSpan.FromMinutes(5));

    internal Task<string> DockerAsync(params string[] arguments) => ServerProcess.RunAsync("docker", arguments, Environment);

    /// <summary>The container of a service.</summary>
    internal async Task<string> ContainerAsync(string service) => (await ComposeAsync("ps", "--quiet", service)).Trim();

    /// <summary>What Docker knows of a service's container.</summary>
    internal async Task<JsonNode> InspectAsync(string service) => JsonNode.Parse(await DockerAsync("inspect", await ContainerAsync(service)))![0]!;

    internal Task HealthyAsync() => Stack.UntilAsync(
        async () =>
        {
            foreach (var service in Lasting)
            {
                if ((string?)(await InspectAsync(service))["State"]!["Health"]!["Status"] != "healthy")
                    return false;
            }
            return true;
        },
        async () => $"not all are healthy: {await DockerAsync("ps", "--all", "--format", "{{.Names}} {{.Status}}")}{await LogsAsync()}");

    internal Task<string> LogsAsync() => ComposeAsync("logs", "--no-color", "--tail", "40");

    /// <summary>What nobody but who is meant may know, without the names before it.</summary>
    internal IEnumerable<string> Secrets() => Directory.GetFiles(_secrets.Path).Where(f => !f.EndsWith(".json", StringComparison.Ordinal))
        .Select(f => File.ReadAllText(f).Trim()).Select(text => text == Key ? Key[13..] : text.Split(':')[^1]);

    /// <summary>Uploads the demo's network.</summary>
    internal async Task<string> UploadAsync()
    {
        using var stored = await Http.PostAsync("v1/artifacts?kind=onnx", new ByteArrayContent(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation)), Stack.Cancellation);
        stored.EnsureSuccessStatusCode();
        return (await stored.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, Stack.Cancellation))!.Digest;
    }

    /// <summary>Submits a run without the cache.</summary>
    internal async Task<Guid> SubmitAsync(string model, params string[] uses)
    {
        using var accepted = await Http.PostAsJsonAsync("v1/runs", new { model, cache = false, pipeline = new { steps = uses.Select(u => new { uses = u }) } }, Stack.Cancellation);
        var text = await accepted.Content.ReadAsStringAsync(Stack.Cancellation);
        Assert.True(accepted.IsSuccessStatusCode, text);
        return (Guid)JsonNode.Parse(text)!["id"]!;
    }

    internal async Task<RunResource?> GetAsync(Guid run)
    {
        try
        {
            using var answer = await Http.GetAsync($"v1/runs/{run}", Stack.Cancellation);
            return answer.IsSuccessStatusCode ? await answer.Content.ReadFromJsonAsync<RunResource>(ContractJson.Options, Stack.Cancellation) : null;
        }
        catch (HttpRequestException)
        {
            // The one who answers is being started again.
            return null;
        }
    }

    internal async Task<RunResource> EndedAsync(Guid run)
    {
        RunResource? seen = null;
        await Stack.UntilAsync(
            async () => (seen = await GetAsync(run)) is { } now && RunStates.IsTerminal(now.State),
            async () => $"the run has not ended: {JsonSerializer.Serialize(seen, ContractJson.Options)}{await LogsAsync()}");
        return seen!;
    }
}
