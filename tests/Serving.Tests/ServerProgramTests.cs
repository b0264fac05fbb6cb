using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Serving.Tests;

/// <summary>The program: how it starts, says that it is ready, and stops.</summary>
public sealed class ServerProgramTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task SIGTERM_ends_it_after_the_inference_that_runs()
    {
        SlowNetwork.Write(Path.Combine(_folder.Path, "slow.onnx"), layers: 60);
        await using var server = await ServerProgram.StartAsync(_folder.Path);
        var request = server.Http.PostAsJsonAsync("v2/models/slow/infer", SlowNetwork.Request(), TestContext.Current.CancellationToken);
        await UntilRunningAsync(server);

        server.Terminate();

        using var answer = await request;
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal((0, ""), await server.EndAsync());
    }

    [Fact]
    public async Task It_says_whether_it_is_ready()
    {
        File.Copy(Networks.Sample, Path.Combine(_folder.Path, "fashion.onnx"));
        await using var server = await ServerProgram.StartAsync(_folder.Path);
        var port = server.Url.Port.ToString(System.Globalization.CultureInfo.InvariantCulture);

        Assert.Equal("""{"live":true}""", await server.Http.GetStringAsync("v2/health/live", TestContext.Current.CancellationToken));
        Assert.Equal("""{"ready":true}""", await server.Http.GetStringAsync("v2/health/ready", TestContext.Current.CancellationToken));
        Assert.Equal(0, (await ServerProgram.RunAsync("health", "--port", port)).Code);
        server.Terminate();
        Assert.Equal(0, (await server.EndAsync()).Code);
        var (code, _, errors) = await ServerProgram.RunAsync("health", "--port", port);
        Assert.Equal(1, code);
        Assert.StartsWith("model-server: not ready: ", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_it_cannot_do_it_says_in_a_line()
    {
        File.Copy(Networks.Sample, Path.Combine(_folder.Path, "fashion.onnx"));
        await using var server = await ServerProgram.StartAsync(_folder.Path);
        var port = server.Url.Port;

        Assert.Equal((1, "", $"model-server: cannot listen on 127.0.0.1:{port}: Failed to bind to address http://127.0.0.1:{port}: address already in use.\n"),
            await ServerProgram.RunAsync("--models", _folder.Path, "--port", port.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        Assert.Equal((1, "", "model-server: There is no folder '/nowhere'. Say with --models where the networks are.\n"), await ServerProgram.RunAsync("--models", "/nowhere"));
        Assert.Equal((2, "", "model-server: --port is 'x'. Expected a whole number from 0 to 65535.\n"), await ServerProgram.RunAsync("--port", "x"));
        Assert.Equal(0, (await ServerProgram.RunAsync("--help")).Code);
    }

    private static async Task UntilRunningAsync(ServerProgram server)
    {
        while (!(await server.Http.GetStringAsync("metrics", TestContext.Current.CancellationToken)).Contains("model_server_inferences_running 1\n", StringComparison.Ordinal))
            await Task.Delay(10, TestContext.Current.CancellationToken);
    }
}

/// <summary>A network that takes long: as many products of large matrices as there are layers.</summary>
internal static class SlowNetwork
{
    private const int Size = 600;

    public static void Write(string path, int layers) => Networks.Write(path, $"""
        in x: float[1]
        const w: float[{Size},{Size}] ~ 7
        h0 = Add(w, x)
        {string.Join('\n', Enumerable.Range(1, layers).Select(i => $"m{i} = MatMul(h{i - 1}, w)\nh{i} = Tanh(m{i})"))}
        y = ReduceMean(h{layers}) keepdims=0
        out y
        """);

    public static JsonNode Request() => JsonNode.Parse("""{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[0]}]}""")!;
}
