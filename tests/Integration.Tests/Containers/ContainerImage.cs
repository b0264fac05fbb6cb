using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Containers;

/// <summary>The sample as an image for two kinds of machines, made by <c>tinyml run</c>, and a Docker Engine that has loaded it from a folder with nothing else in it.</summary>
public sealed class ContainerImage : IAsyncLifetime
{
    private const int Samples = 16;
    private static readonly int[] Shape = [Samples, 1, 28, 28];

    private readonly EndToEnd.Tests.TemporaryFolder _folder = new();
    private readonly float[] _inputs = [.. Enumerable.Range(0, Samples * 28 * 28).Select(i => (i * 2654435761u % 1000) / 1000f)];
    private DockerDaemon _docker = null!;

    /// <summary>The engine's address.</summary>
    public string Docker => _docker.Address;

    /// <summary>The home of the run that made it.</summary>
    public string Home => _folder.Home;

    /// <summary>The delivered file.</summary>
    public string File { get; private set; } = "";

    public string FileDigest { get; private set; } = "";

    /// <summary>Its name and tag.</summary>
    public string Reference { get; private set; } = "";

    /// <summary>What a registry calls the image.</summary>
    public string Digest { get; private set; } = "";

    public string ModelDigest { get; private set; } = "";

    /// <summary>What ONNX Runtime gives in this process.</summary>
    public IReadOnlyList<float> Expected { get; private set; } = [];

    public async ValueTask InitializeAsync()
    {
        _docker = await DockerDaemon.StartAsync();
        TestContext.Current.SendDiagnosticMessage("Docker: {0}", _docker.Description);
        var output = await MakeAsync(_folder);
        var alone = Directory.CreateDirectory(_folder.In("alone")).FullName;
        File = Path.Combine(alone, "delivered");
        System.IO.File.Move(output.GetProperty("path").GetString()!, File);
        FileDigest = output.GetProperty("digest").GetString()!;
        var report = JsonNode.Parse(await System.IO.File.ReadAllBytesAsync(_folder.In("out/reports/3-installer-container.json"), Stack.Cancellation))!;
        (Reference, Digest) = ((string)report["image"]!, (string)report["digest"]!);
        Assert.InRange((long)report["platforms"]![0]!["unpackedBytes"]!, 10_000_000, 50_000_000);
        ModelDigest = (string)report["labels"]!["io.tinymlaas.model.digest"]!;
        await DockerAsync("load", "--input", File);
        await DockerAsync("cp", $"{await DockerAsync("create", Reference)}:/models/fashion-cnn.onnx", _folder.In("network.onnx"));
        OrtEnv.Instance().DisableTelemetryEvents();
        using var session = new InferenceSession(_folder.In("network.onnx"));
        using var input = OrtValue.CreateTensorValueFromMemory(_inputs, [.. Shape.Select(e => (long)e)]);
        using var run = new RunOptions();
        using var results = session.Run(run, ["input"], [input], ["logits"]);
        Expected = results[0].GetTensorDataAsSpan<float>().ToArray();
    }

    public async ValueTask DisposeAsync()
    {
        if (_docker is not null)
            await _docker.DisposeAsync();
        _folder.Dispose();
    }

    /// <summary>The image as <c>tinyml run</c> delivers it.</summary>
    internal static async Task<JsonElement> MakeAsync(EndToEnd.Tests.TemporaryFolder folder, params string[] on)
    {
        var pipeline = folder.In("pipeline.yaml");
        await System.IO.File.WriteAllTextAsync(
            pipeline,
            """
            steps:
              - uses: compiler/fuse
              - uses: compiler/quantize
                datasets: { calibrate: calibration }
              - uses: installer/container
                with: { platforms: [linux/amd64, linux/arm64] }
            """,
            Stack.Cancellation);
        string[] where = on.Length > 0 ? on : ["--home", folder.Home];
        var result = await TinymlCommand.RunAsync(
            Stack.Cancellation,
            ["run", EndToEnd.Tests.Samples.Model, "--pipeline", pipeline, "--dataset", EndToEnd.Tests.Samples.Calibration, "--out", folder.Output, "--json", .. where]);
        var output = result.Expect(0).Json.GetProperty("outputs")[0];
        Assert.Equal("oci-image", output.GetProperty("kind").GetString());
        return output;
    }

    /// <summary>A command's output.</summary>
    internal Task<string> DockerAsync(params string[] arguments) => RunAsync("docker", arguments);

    /// <summary>What a container's server said.</summary>
    internal Task<string> LogsAsync(string container) => RunAsync("sh", "-c", "docker logs \"$0\" 2>&1", container);

    internal async Task<JsonNode> InspectAsync(string container) => JsonNode.Parse(await DockerAsync("inspect", container))![0]!;

    /// <summary>What a server gives for the inputs that <see cref="Expected"/> is of.</summary>
    internal async Task<IReadOnlyList<float>> InferAsync(HttpClient http)
    {
        using var answer = await http.PostAsJsonAsync("v2/models/fashion-cnn/infer", new { inputs = (object[])[new { name = "input", datatype = "FP32", shape = Shape, data = _inputs }] }, Stack.Cancellation);
        var text = await answer.Content.ReadAsStringAsync(Stack.Cancellation);
        Assert.True(answer.IsSuccessStatusCode, text);
        return [.. JsonNode.Parse(text)!["outputs"]![0]!["data"]!.AsArray().Select(v => (float)v!)];
    }

    private async Task<string> RunAsync(string file, params string[] arguments) =>
        (await ServerProcess.RunAsync(file, arguments, new Dictionary<string, string> { ["DOCKER_HOST"] = _docker.Address })).Trim();
}
