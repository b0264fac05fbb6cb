using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Benchmarks.Serving;

/// <summary>What serving costs: the sample network in ONNX Runtime in this process, and the same in the model server, as a process and in a container made by <c>installer/container</c>, asked over loopback.</summary>
internal static class ServingBenchmark
{
    private const int Warm = 500;
    private const int Requests = 4000;
    private const int Clients = 8;
    private const int Starts = 5;
    private const double LimitReadySeconds = 1.5;
    private const double LimitAboveMs = 1;
    private const double LimitImageMegabytes = 50;

    private static readonly string[] Confined = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

    public static async Task<JsonObject> RunAsync(Action<string> print, CancellationToken cancellation)
    {
        var root = Repository.Root();
        var folder = Directory.CreateTempSubdirectory("tinyml-bench-").FullName;
        try
        {
            var server = (await ServerProcess.RunAsync(Path.Combine(root, "serving", "build"), [], patience: TimeSpan.FromMinutes(10))).Trim();
            print("the image: tinyml run, fuse, quantize, container");
            var image = await MakeAsync(root, folder, cancellation);
            var model = await File.ReadAllBytesAsync(Path.Combine(folder, "out", "network.onnx"), cancellation);
            var input = Sample(root, model);
            var inProcess = InProcess(model, input);
            print($"{"",-34} {"p50 ms",8} {"p99 ms",8} {"requests/s",11} {"RSS MB",7}");
            Row(print, "ONNX Runtime in this process", inProcess, null, null);
            var models = Directory.CreateDirectory(Path.Combine(folder, "models")).FullName;
            File.Copy(Path.Combine(folder, "out", "network.onnx"), Path.Combine(models, "fashion-cnn.onnx"));
            var figures = new JsonObject { ["inProcessP50Ms"] = Round(inProcess.P50), ["inProcessP99Ms"] = Round(inProcess.P99) };

            var port = ServerProcess.FreePort();
            await using (var process = await ServerProcess.StartAsync(Path.Combine(server, "model-server"), ["--models", models, "--port", port.ToString(CultureInfo.InvariantCulture)]))
                await MeasureAsync("process", $"http://127.0.0.1:{port}", process.Pid, input, figures, print, cancellation);

            await using var docker = await DockerDaemon.StartAsync();
            async Task<string> DockerAsync(params string[] arguments) => (await ServerProcess.RunAsync("docker", arguments, new Dictionary<string, string> { ["DOCKER_HOST"] = docker.Address })).Trim();
            await DockerAsync("load", "--quiet", "--input", image.File);
            var ready = new double[Starts];
            for (var start = 0; start < Starts; start++)
            {
                var from = Stopwatch.GetTimestamp();
                var container = await DockerAsync(["run", "--detach", .. Confined, "--publish", "127.0.0.1::8080", image.Reference]);
                var published = (await DockerAsync("port", container, "8080/tcp")).Split('\n')[0];
                await ReadyAsync($"http://{published}", cancellation);
                ready[start] = Stopwatch.GetElapsedTime(from).TotalSeconds;
                if (start == Starts - 1)
                    await MeasureAsync("container", $"http://{published}", int.Parse(await DockerAsync("inspect", "--format", "{{.State.Pid}}", container), CultureInfo.InvariantCulture), input, figures, print, cancellation);
                await DockerAsync("rm", "--force", container);
            }
            Array.Sort(ready);
            var p50 = figures["containerBinaryP50Ms"]!.GetValue<double>();
            figures["imageUnpackedMegabytes"] = Round(image.UnpackedBytes / 1e6);
            figures["imageUnpackedMegabytesLimit"] = LimitImageMegabytes;
            figures["containerReadySecondsMedian"] = Round(ready[Starts / 2]);
            figures["containerReadySecondsMax"] = Round(ready[^1]);
            figures["containerReadySecondsLimit"] = LimitReadySeconds;
            figures["p50LimitMs"] = Round(inProcess.P50 + LimitAboveMs);
            figures["withinLimits"] = image.UnpackedBytes <= LimitImageMegabytes * 1e6 && ready[^1] < LimitReadySeconds && p50 <= inProcess.P50 + LimitAboveMs && figures["containerJsonP50Ms"]!.GetValue<double>() <= inProcess.P50 + LimitAboveMs;
            print($"container ready after docker run: median {ready[Starts / 2]:0.00} s, longest {ready[^1]:0.00} s of {Starts}, limit {LimitReadySeconds} s; image {image.UnpackedBytes / 1e6:0.0} MB unpacked, limit {LimitImageMegabytes}");
            return figures;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<(string File, string Reference, long UnpackedBytes)> MakeAsync(string root, string folder, CancellationToken cancellation)
    {
        var (output, networks) = (Path.Combine(folder, "out"), Path.Combine(folder, "networks"));
        async Task RunAsync(string to, string steps)
        {
            var pipeline = Path.Combine(folder, "pipeline.yaml");
            await File.WriteAllTextAsync(pipeline, "steps:\n  - uses: compiler/fuse\n  - uses: compiler/quantize\n    datasets: { calibrate: calibration }\n" + steps, cancellation);
            await ServerProcess.RunAsync(Path.Combine(root, "tinyml"),
                ["run", Path.Combine(root, "samples", "fashion-cnn.onnx"), "--pipeline", pipeline, "--dataset", $"calibration={Path.Combine(root, "samples", "fashion-mnist", "calibration.yaml")}", "--home", Path.Combine(folder, "home"), "--out", to, "--json"]);
        }
        await RunAsync(output, "  - uses: installer/container\n");
        await RunAsync(networks, "");
        File.Move(Path.Combine(networks, "fashion-cnn.onnx"), Path.Combine(output, "network.onnx"));
        var report = JsonNode.Parse(await File.ReadAllBytesAsync(Path.Combine(output, "reports", "3-installer-container.json"), cancellation))!;
        return (Path.Combine(output, "fashion-cnn.oci.tar"), (string)report["image"]!, (long)report["platforms"]![0]!["unpackedBytes"]!);
    }

    private static Tensor Sample(string root, byte[] model)
    {
        using var session = RuntimeSession.Open(model);
        return session.Bind(Dataset.Open(Path.Combine(root, "samples", "fashion-mnist", "evaluation.yaml"))).Samples().First().Feeds.First().Copy()[0];
    }

    /// <summary>With as many threads as the server takes.</summary>
    private static (double P50, double P99) InProcess(byte[] model, Tensor input)
    {
        using var session = RuntimeSession.Open(model, threads: Environment.ProcessorCount);
        var times = new double[Requests];
        for (var run = -Warm; run < Requests; run++)
        {
            var start = Stopwatch.GetTimestamp();
            session.Run([input]);
            if (run >= 0)
                times[run] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
        return Percentiles(times);
    }

    private static async Task MeasureAsync(string name, string url, int pid, Tensor input, JsonObject figures, Action<string> print, CancellationToken cancellation)
    {
        using var http = new HttpClient { BaseAddress = new Uri(url) };
        await ReadyAsync(url, cancellation);
        foreach (var format in (string[])["json", "binary"])
        {
            var one = await AskAsync(http, Content(input, format), Requests, 1, cancellation);
            var many = await AskAsync(http, Content(input, format), Requests, Clients, cancellation);
            var rss = double.Parse(File.ReadLines($"/proc/{pid}/status").Single(l => l.StartsWith("VmRSS:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) * 1024 / 1e6;
            Row(print, $"{name}, {format}, one client", (one.P50, one.P99), one.PerSecond, rss);
            Row(print, $"{name}, {format}, {Clients} clients", (many.P50, many.P99), many.PerSecond, rss);
            var key = name + char.ToUpperInvariant(format[0]) + format[1..];
            figures[key + "P50Ms"] = Round(one.P50);
            figures[key + "P99Ms"] = Round(one.P99);
            figures[key + "RequestsPerSecond"] = Round(many.PerSecond);
            figures[key + "RssMegabytes"] = Round(rss);
        }
    }

    private static (byte[] Body, string? HeaderLength) Content(Tensor input, string format)
    {
        var described = new JsonObject { ["name"] = "input", ["datatype"] = "FP32", ["shape"] = new JsonArray([.. input.Shape.Select(e => JsonValue.Create(e))]) };
        if (format == "json")
        {
            described["data"] = new JsonArray([.. input.As<float>().ToArray().Select(v => JsonValue.Create(v))]);
            return (Encoding.UTF8.GetBytes(new JsonObject { ["inputs"] = new JsonArray(described) }.ToJsonString()), null);
        }
        described["parameters"] = new JsonObject { ["binary_data_size"] = input.Bytes.Length };
        var header = Encoding.UTF8.GetBytes(new JsonObject { ["inputs"] = new JsonArray(described), ["parameters"] = new JsonObject { ["binary_data_output"] = true } }.ToJsonString());
        return ([.. header, .. input.Bytes.Span], header.Length.ToString(CultureInfo.InvariantCulture));
    }

    private static async Task<(double P50, double P99, double PerSecond)> AskAsync(HttpClient http, (byte[] Body, string? HeaderLength) content, int requests, int clients, CancellationToken cancellation)
    {
        async Task<double> OneAsync()
        {
            var start = Stopwatch.GetTimestamp();
            using var body = new ByteArrayContent(content.Body);
            body.Headers.ContentType = new MediaTypeHeaderValue(content.HeaderLength is null ? "application/json" : "application/octet-stream");
            if (content.HeaderLength is { } length)
                body.Headers.Add("Inference-Header-Content-Length", length);
            using var answer = await http.PostAsync("v2/models/fashion-cnn/infer", body, cancellation);
            await answer.Content.ReadAsByteArrayAsync(cancellation);
            answer.EnsureSuccessStatusCode();
            return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
        for (var i = 0; i < Warm; i++)
            await OneAsync();
        var from = Stopwatch.GetTimestamp();
        var times = await Task.WhenAll(Enumerable.Range(0, clients).Select(async _ =>
        {
            var mine = new List<double>();
            for (var i = 0; i < requests / clients; i++)
                mine.Add(await OneAsync());
            return mine;
        }));
        var (p50, p99) = Percentiles([.. times.SelectMany(t => t)]);
        return (p50, p99, requests / Stopwatch.GetElapsedTime(from).TotalSeconds);
    }

    private static async Task ReadyAsync(string url, CancellationToken cancellation)
    {
        using var http = new HttpClient { BaseAddress = new Uri(url) };
        var limit = Stopwatch.StartNew();
        while (limit.Elapsed < TimeSpan.FromMinutes(1))
        {
            try
            {
                using var answer = await http.GetAsync("v2/health/ready", cancellation);
                if (answer.IsSuccessStatusCode)
                    return;
            }
            catch (HttpRequestException)
            {
                // It does not listen yet.
            }
            await Task.Delay(5, cancellation);
        }
        throw new InvalidOperationException($"{url} was not ready after a minute.");
    }

    private static (double P50, double P99) Percentiles(double[] times)
    {
        Array.Sort(times);
        return (times[times.Length / 2], times[times.Length * 99 / 100]);
    }

    private static void Row(Action<string> print, string name, (double P50, double P99) times, double? perSecond, double? rss) =>
        print(string.Create(CultureInfo.InvariantCulture, $"{name,-34} {times.P50,8:0.000} {times.P99,8:0.000} {perSecond?.ToString("0", CultureInfo.InvariantCulture),11} {rss?.ToString("0.0", CultureInfo.InvariantCulture),7}"));

    private static double Round(double value) => Math.Round(value, 3);
}
