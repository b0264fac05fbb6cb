using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Serving.Tests;

/// <summary>More than the server is for is refused, and what it takes stays bounded.</summary>
public sealed class LimitTests : IDisposable
{
    private const int Mib = 1 << 20;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_body_may_be_as_large_as_the_limit_and_not_a_byte_larger(bool announced)
    {
        WriteSum();
        await using var server = await RunningServer.StartAsync(_folder.Path, "--max-body-mib", "1", "--max-memory-mib", "1");
        var json = """{"inputs":[{"name":"x","datatype":"UINT8","shape":[LENGTH],"parameters":{"binary_data_size":LENGTH}}]}""".Replace("LENGTH", "1048400", StringComparison.Ordinal);
        byte[] fitting = [.. Encoding.UTF8.GetBytes(json.PadRight(Mib - 1048400)), .. new byte[1048400]];
        Assert.Equal(Mib, fitting.Length);

        Assert.Equal(HttpStatusCode.OK, (await SendAsync(server, fitting, Mib - 1048400, announced)).Status);

        var (status, answer) = await SendAsync(server, [.. fitting, 0], Mib - 1048400, announced);
        Assert.Equal((HttpStatusCode.RequestEntityTooLarge, "body-too-large"), (status, (string?)answer["code"]));
        Assert.Equal("The body is larger than 1 MiB, the largest that this server takes (--max-body-mib).", (string?)answer["error"]);
    }

    [Fact]
    public async Task Bodies_that_do_not_come_hold_no_more_than_the_limit_and_give_it_back()
    {
        WriteSum();
        await using var server = await RunningServer.StartAsync(_folder.Path, "--max-body-mib", "1", "--max-memory-mib", "1");
        byte[] small = Encoding.UTF8.GetBytes("""{"inputs":[{"name":"x","datatype":"UINT8","shape":[1],"data":[7]}]}""");
        using (var slow = new TcpClient())
        {
            await slow.ConnectAsync(IPAddress.Loopback, server.Http.BaseAddress!.Port, RunningServer.Cancellation);
            await slow.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"POST /v2/models/sum/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {Mib}\r\n\r\n{{"), RunningServer.Cancellation);
            await UntilAsync(() => HoldsAsync(server, Mib));
            var (status, answer) = await SendAsync(server, small, null, announced: true);
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "overloaded"), (status, (string?)answer["code"]));
        }

        await UntilAsync(() => HoldsAsync(server, 0));
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(server, small, null, announced: true)).Status);
    }

    [Fact]
    public async Task Outputs_for_which_there_is_no_room_are_not_kept()
    {
        Networks.Write(Path.Combine(_folder.Path, "wide.onnx"), """
            in n: int64[1]
            y = ConstantOfShape(n)
            out y
            """);
        await using var server = await RunningServer.StartAsync(_folder.Path, "--max-body-mib", "1", "--max-memory-mib", "1");

        var (status, code, error) = await server.RefusalAsync("wide", """{"inputs":[{"name":"n","datatype":"INT64","shape":[1],"data":[300000]}]}""");

        Assert.Equal((503, "overloaded"), (status, code));
        Assert.Equal("There is no room for 1200000 bytes: this server keeps 1 MiB for the bodies of all requests and answers (--max-memory-mib), and 0 MiB are taken. Try again.", error);
    }

    [Fact]
    public async Task More_inferences_than_may_wait_are_sent_away()
    {
        SlowNetwork.Write(Path.Combine(_folder.Path, "slow.onnx"), layers: 10);
        await using var server = await RunningServer.StartAsync(_folder.Path, "--concurrency", "1", "--threads", "1");

        var answers = await Task.WhenAll(Enumerable.Range(0, 40).Select(async _ =>
        {
            using var answer = await server.InferAsync("slow", SlowNetwork.Request());
            return (answer.StatusCode, Wait: answer.Headers.RetryAfter?.ToString());
        }));

        // One runs and 16 wait at a time.
        Assert.InRange(answers.Count(a => a.StatusCode == HttpStatusCode.OK), 17, 39);
        Assert.All(answers.Where(a => a.StatusCode != HttpStatusCode.OK), a => Assert.Equal((HttpStatusCode.ServiceUnavailable, "1"), a));
    }

    [Fact]
    public async Task An_inference_that_takes_too_long_is_ended()
    {
        SlowNetwork.Write(Path.Combine(_folder.Path, "slow.onnx"), layers: 4000);
        await using var server = await RunningServer.StartAsync(_folder.Path, "--time-limit-s", "1", "--threads", "1");

        using var answer = await server.InferAsync("slow", SlowNetwork.Request());

        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.Equal("Model 'slow' had not answered after 1 s, the limit of this server.", (string?)JsonNode.Parse(await answer.Content.ReadAsStringAsync(RunningServer.Cancellation))!["error"]);
    }

    private void WriteSum() => Networks.Write(Path.Combine(_folder.Path, "sum.onnx"), """
        in x: uint8[N]
        f = Cast(x) to=1
        y = ReduceSum(f) keepdims=0
        out y
        """);

    private static async Task<bool> HoldsAsync(RunningServer server, int bytes) =>
        (await server.Http.GetStringAsync("metrics", RunningServer.Cancellation)).Contains($"\nmodel_server_body_bytes {bytes}\n", StringComparison.Ordinal);

    private static async Task<(HttpStatusCode Status, JsonNode Answer)> SendAsync(RunningServer server, byte[] body, int? jsonLength, bool announced)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "v2/models/sum/infer") { Content = new ByteArrayContent(body) };
        request.Headers.TransferEncodingChunked = !announced;
        if (jsonLength is { } length)
            request.Headers.Add("Inference-Header-Content-Length", length.ToString(System.Globalization.CultureInfo.InvariantCulture));
        using var answer = await server.Http.SendAsync(request, RunningServer.Cancellation);
        return (answer.StatusCode, JsonNode.Parse(await answer.Content.ReadAsStringAsync(RunningServer.Cancellation))!);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (var since = System.Diagnostics.Stopwatch.StartNew(); !await condition(); await Task.Delay(20, RunningServer.Cancellation))
            Assert.True(since.Elapsed < TimeSpan.FromSeconds(20));
    }
}
