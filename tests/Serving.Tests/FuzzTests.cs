using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Serving.Tests;

/// <summary>Ten thousand requests that are wrong in every way, over HTTP that may be wrong itself: the server answers, stays as large as it was, and then serves as before.</summary>
public sealed class FuzzTests : IDisposable
{
    private const int Requests = 10_000;
    private const int Senders = 8;
    private const int IdleConnections = 500;

    /// <summary>What all bodies may hold, and as much again for what is made of them.</summary>
    private const double MostGrowthMiB = 96;

    private static readonly JsonObject Good = new() { ["id"] = "g", ["inputs"] = new JsonArray(new JsonObject { ["name"] = "x", ["datatype"] = "FP32", ["shape"] = new JsonArray(2, 3), ["data"] = new JsonArray(1, -2, 3, -4, 5, -6) }) };

    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Ten_thousand_wrong_requests_change_nothing()
    {
        Networks.Write(Path.Combine(_folder.Path, "net.onnx"), """
            in x: float[N,3]
            y = Relu(x)
            out y
            """);
        Networks.Write(Path.Combine(_folder.Path, "text.onnx"), """
            in x: string[N]
            y = Identity(x)
            out y
            """);
        await using var server = await ServerProgram.StartAsync(_folder.Path, "--max-body-mib", "4", "--max-memory-mib", "32");
        for (var i = 0; i < 500; i++)
            await ServesAsync(server);
        var before = server.Memory;
        var (statuses, most, next) = (new ConcurrentDictionary<int, int>(), before, -1);
        var idle = await ConnectAsync(server);

        await Task.WhenAll(Enumerable.Range(0, Senders).Select(_ => Task.Run(async () =>
        {
            for (var seed = Interlocked.Increment(ref next); seed < Requests; seed = Interlocked.Increment(ref next))
            {
                var random = new Random(seed);
                var status = random.Next(5) == 0 ? await SendRawAsync(server, random) : await SendAsync(server, random);
                // 503: there is no room now. 505: a version of HTTP that there is not.
                Assert.True(status is 0 or 200 or (>= 400 and < 500) or 503 or 505, $"request {seed} was answered with {status}");
                statuses.AddOrUpdate(status, 1, (_, n) => n + 1);
                if (seed % 100 == 0)
                    most = Math.Max(most, server.Memory);
            }
        }, Cancellation)));

        Assert.False(server.HasExited);
        await ServesAsync(server);
        idle.ForEach(c => c.Dispose());
        await ServesAsync(server);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{string.Join(", ", statuses.OrderBy(s => s.Key).Select(s => $"{s.Key}: {s.Value}"))}; memory {before:0} MiB, at most {most:0}"));
        Assert.True(most - before < MostGrowthMiB, $"memory went from {before} to {most} MiB");
        // Some of each kind: else nothing was tried.
        Assert.All((int[])[200, 400, 404, 405, 413], status => Assert.True(statuses.GetValueOrDefault(status) > 10, $"{status}: {statuses.GetValueOrDefault(status)}"));
    }

    private static async Task ServesAsync(ServerProgram server)
    {
        using var answer = await server.Http.PostAsync("v2/models/net/infer", new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(Good)), Cancellation);
        Assert.Equal("""{"model_name":"net","model_version":"1","id":"g","outputs":[{"name":"y","datatype":"FP32","shape":[2,3],"data":[1,0,3,0,5,0]}]}""", await answer.Content.ReadAsStringAsync(Cancellation));
    }

    /// <summary>Connections that say nothing, or begin a request and do not go on.</summary>
    private static async Task<List<TcpClient>> ConnectAsync(ServerProgram server)
    {
        var connections = new List<TcpClient>();
        for (var i = 0; i < IdleConnections; i++)
        {
            var client = new TcpClient();
            connections.Add(client);
            await client.ConnectAsync(server.Url.Host, server.Url.Port, Cancellation);
            var said = i % 3 == 0 ? "" : i % 3 == 1 ? "POST /v2/models/net/infer HTTP/1.1\r\nHost: x\r\n" : "POST /v2/models/net/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"inputs\"";
            await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(said), Cancellation);
        }
        return connections;
    }

    private static async Task<int> SendAsync(ServerProgram server, Random random)
    {
        var (body, jsonLength) = Body(random);
        string[] methods = ["POST", "POST", "POST", "POST", "POST", "POST", "GET", "PUT", "DELETE"];
        string[] paths = ["v2/models/net/infer", "v2/models/net/infer", "v2/models/net/infer", "v2/models/text/infer", "v2/models/none/infer", "v2/models/net/versions/9/infer", "v2/models/" + new string('a', random.Next(4000)), "metrics"];
        using var request = new HttpRequestMessage(new HttpMethod(methods[random.Next(methods.Length)]), paths[random.Next(paths.Length)]) { Content = new ByteArrayContent(body) };
        request.Headers.TransferEncodingChunked = random.Next(4) == 0;
        if (jsonLength is not null)
            request.Headers.TryAddWithoutValidation("Inference-Header-Content-Length", jsonLength);
        try
        {
            using var answer = await server.Http.SendAsync(request, Cancellation);
            await answer.Content.ReadAsByteArrayAsync(Cancellation);
            return (int)answer.StatusCode;
        }
        catch (HttpRequestException)
        {
            // A body that is not read to its end ends the connection, and the answer may be lost with it.
            return 0;
        }
    }

    private static (byte[] Body, string? JsonLength) Body(Random random)
    {
        var good = JsonSerializer.SerializeToUtf8Bytes(Good);
        switch (random.Next(10))
        {
            case 0:
                var noise = new byte[random.Next(2000)];
                random.NextBytes(noise);
                return (noise, null);
            case 1:
                return (good[..random.Next(good.Length)], null);
            case 2:
                for (var i = random.Next(1, 8); i > 0; i--)
                    good[random.Next(good.Length)] = (byte)random.Next(256);
                return (good, null);
            case 3:
                var shape = string.Join(',', Enumerable.Range(0, random.Next(20)).Select(_ => random.Next(3) switch { 0 => random.NextInt64(long.MaxValue), 1 => random.Next(8), _ => 3 }));
                return (Encoding.UTF8.GetBytes($$"""{"inputs":[{"name":"x","datatype":"FP32","shape":[{{shape}}],"data":[1,2,3]}]}"""), null);
            case 4:
                string[] lengths = ["-1", "2147483648", "99999999999999999999", "", "x", "0", random.Next(10000).ToString(CultureInfo.InvariantCulture)];
                return (good, lengths[random.Next(lengths.Length)]);
            case 5:
                var size = random.Next(2) == 0 ? random.Next(64) : random.Next();
                var json = Encoding.UTF8.GetBytes($$$"""{"inputs":[{"name":"x","datatype":"{{{(random.Next(2) == 0 ? "FP32" : "BYTES")}}}","shape":[{{{random.Next(4)}}}],"parameters":{"binary_data_size":{{{size}}} }}]}""");
                var raw = new byte[random.Next(64)];
                random.NextBytes(raw);
                return ([.. json, .. raw], json.Length.ToString(CultureInfo.InvariantCulture));
            case 6:
                var depth = random.Next(1, 4000);
                return (Encoding.UTF8.GetBytes($"{{\"inputs\":[{{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,3],\"data\":{new string('[', depth)}{new string(']', depth)}}}]}}"), null);
            case 7 when random.Next(4) == 0:
                return (new byte[random.Next(1, 8) << 20], null);
            case 8:
                var text = string.Concat(Enumerable.Range(0, random.Next(300)).Select(_ => $"\\u{random.Next(0x10000):x4}"));
                return (Encoding.UTF8.GetBytes($$"""{"id":"{{(random.Next(2) == 0 ? text : "f")}}","inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["{{text}}"]}],"outputs":[{"name":"{{text}}"}]}"""), null);
            default:
                return (good, null);
        }
    }

    /// <summary>What no client that knows HTTP would say; 0 where the server answers nothing that can be read.</summary>
    private static async Task<int> SendRawAsync(ServerProgram server, Random random)
    {
        using var client = new TcpClient();
        try
        {
            await client.ConnectAsync(server.Url.Host, server.Url.Port, Cancellation);
            var stream = client.GetStream();
            await stream.WriteAsync(Encoding.Latin1.GetBytes(Raw(random)), Cancellation);
            client.Client.Shutdown(SocketShutdown.Send);
            var answer = new byte[64];
            var read = await stream.ReadAtLeastAsync(answer, 12, throwOnEndOfStream: false, Cancellation);
            return read >= 12 && int.TryParse(Encoding.ASCII.GetString(answer, 9, 3), NumberStyles.None, CultureInfo.InvariantCulture, out var status) ? status : 0;
        }
        catch (Exception error) when (error is IOException or SocketException)
        {
            return 0;
        }
    }

    private static string Raw(Random random)
    {
        const string Post = "POST /v2/models/net/infer HTTP/1.1\r\nHost: x\r\n";
        return random.Next(9) switch
        {
            0 => string.Concat(Enumerable.Range(0, random.Next(500)).Select(_ => (char)random.Next(256))),
            1 => "GET / HTTP/9.9\r\n\r\n",
            2 => $"GET /{new string('a', random.Next(20000))} HTTP/1.1\r\nHost: x\r\n\r\n",
            3 => $"{Post}X: {new string('a', random.Next(60000))}\r\nContent-Length: 2\r\n\r\n{{}}",
            4 => $"{Post}Content-Length: {random.NextInt64(long.MinValue, long.MaxValue)}\r\n\r\n{{}}",
            5 => $"{Post}Transfer-Encoding: chunked\r\n\r\n{random.Next():x}\r\n{{}}",
            6 => $"{Post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            7 => $"{Post}Content-Length: 100\r\n\r\n{{",
            _ => $"{Post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}",
        };
    }
}
