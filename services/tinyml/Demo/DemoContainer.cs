using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Tinyml.Runs;

namespace TinyMLaaS.Tinyml.Demo;

/// <summary>The image of <c>demo --target container</c>, where a Docker Engine answers: loaded, started, asked for every picture of the sample's evaluation, and removed.</summary>
internal static class DemoContainer
{
    private const int PicturesOfARequest = 200;
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(60);
    private static readonly string[] Confined = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

    /// <summary>What it answered; null, with a word to the user, where no engine answers.</summary>
    /// <param name="image">The delivered file.</param>
    /// <param name="reference">Its name and tag.</param>
    /// <param name="samples">The model, and data with labels.</param>
    /// <param name="terminal">Told what is done.</param>
    /// <param name="cancellation">Ends it, and the container.</param>
    public static async Task<ServedFigures?> AskAsync(OutputFile image, string reference, DemoSamples samples, Terminal terminal, CancellationToken cancellation)
    {
        if (!await AnswersAsync(cancellation))
        {
            terminal.Say($"Docker does not answer, so the image was not run. Where it does: docker load --input {image.Path} && docker run --publish 127.0.0.1:8080:8080 {reference}");
            return null;
        }
        terminal.Say($"docker load --input {image.Path}");
        await DockerAsync(cancellation, "load", "--quiet", "--input", image.Path);
        terminal.Say($"docker run --detach {string.Join(' ', Confined)} --publish 127.0.0.1::8080 {reference}");
        var start = Stopwatch.GetTimestamp();
        var container = await DockerAsync(cancellation, ["run", "--detach", .. Confined, "--publish", "127.0.0.1::8080", reference]);
        try
        {
            var published = (await DockerAsync(cancellation, "port", container, "8080/tcp")).Split('\n')[0];
            using var http = new HttpClient { BaseAddress = new Uri($"http://{published}"), Timeout = ReadyLimit };
            await ReadyAsync(http, container, start, cancellation);
            var ready = Stopwatch.GetElapsedTime(start);
            var (right, all) = await ClassifyAsync(http, reference.Split(':')[0], samples, cancellation);
            return new ServedFigures { Image = reference, ReadySeconds = ready.TotalSeconds, Samples = all, Top1 = (double)right / all };
        }
        finally
        {
            await DockerAsync(CancellationToken.None, "rm", "--force", container);
        }
    }

    private static async Task ReadyAsync(HttpClient http, string container, long start, CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                using var answer = await http.GetAsync("v2/health/ready", cancellation);
                if (answer.IsSuccessStatusCode)
                    return;
            }
            catch (HttpRequestException) when (Stopwatch.GetElapsedTime(start) < ReadyLimit)
            {
                // It does not listen yet.
            }
            if (Stopwatch.GetElapsedTime(start) > ReadyLimit)
                throw new CommandException(ExitCodes.RunFailed, "container-not-ready", $"The container {container[..12]} was not ready after {ReadyLimit.TotalSeconds} s. See: docker logs {container[..12]}");
            await Task.Delay(10, cancellation);
        }
    }

    private static async Task<(int Right, int All)> ClassifyAsync(HttpClient http, string model, DemoSamples files, CancellationToken cancellation)
    {
        var input = SampleInput.Of(OnnxFile.Read(files.Model).Graph)[0];
        var (right, all) = (0, 0);
        foreach (var samples in Dataset.Open(files.Evaluation).Bind([input]).Samples().Select(s => (s.Label, Tensor: s.Feeds.First()[0].Bytes.ToArray())).Chunk(PicturesOfARequest))
        {
            var classes = await InferAsync(http, model, input, [.. samples.Select(s => s.Tensor)], cancellation);
            right += samples.Zip(classes).Count(s => s.First.Label == s.Second);
            all += samples.Length;
        }
        return (right, all);
    }

    /// <summary>The likeliest class of each sample, asked for in one request with the tensor as bytes (Open Inference Protocol, binary tensor data extension).</summary>
    private static async Task<IReadOnlyList<int>> InferAsync(HttpClient http, string model, SampleInput input, IReadOnlyList<byte[]> samples, CancellationToken cancellation)
    {
        var header = Encoding.UTF8.GetBytes(new JsonObject
        {
            ["inputs"] = new JsonArray(new JsonObject
            {
                ["name"] = input.Name,
                ["datatype"] = "FP32",
                ["shape"] = new JsonArray([samples.Count, .. input.Shape.Skip(1).Select(d => JsonValue.Create(d.Value ?? 1))]),
                ["parameters"] = new JsonObject { ["binary_data_size"] = samples.Sum(s => s.Length) },
            }),
        }.ToJsonString());
        using var content = new ByteArrayContent([.. header, .. samples.SelectMany(s => s)]);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        content.Headers.Add("Inference-Header-Content-Length", header.Length.ToString(CultureInfo.InvariantCulture));
        using var answer = await http.PostAsync($"v2/models/{model}/infer", content, cancellation);
        var text = await answer.Content.ReadAsStringAsync(cancellation);
        if (!answer.IsSuccessStatusCode)
            throw new CommandException(ExitCodes.RunFailed, "container-refused", $"The container answered {(int)answer.StatusCode}: {text}");
        var scores = JsonDocument.Parse(text).RootElement.GetProperty("outputs")[0].GetProperty("data").EnumerateArray().Select(v => v.GetSingle()).ToArray();
        return [.. scores.Chunk(scores.Length / samples.Count).Select(s => Array.IndexOf(s, s.Max()))];
    }

    private static async Task<bool> AnswersAsync(CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(AnswerLimit);
        try
        {
            await DockerAsync(limit.Token, "version", "--format", "{{.Server.Version}}");
            return true;
        }
        catch (CommandException)
        {
            return false;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return false;
        }
    }

    private static async Task<string> DockerAsync(CancellationToken cancellation, params string[] arguments)
    {
        var start = new ProcessStartInfo("docker") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        try
        {
            using var process = Process.Start(start)!;
            try
            {
                var (output, error) = (process.StandardOutput.ReadToEndAsync(cancellation), process.StandardError.ReadToEndAsync(cancellation));
                await process.WaitForExitAsync(cancellation);
                return process.ExitCode == 0
                    ? (await output).Trim()
                    : throw new CommandException(ExitCodes.RunFailed, "docker-failed", $"'docker {string.Join(' ', arguments)}' ended with {process.ExitCode}: {(await error).Trim()}");
            }
            finally
            {
                if (!process.HasExited)
                    process.Kill();
            }
        }
        catch (System.ComponentModel.Win32Exception error)
        {
            throw new CommandException(ExitCodes.RunFailed, "docker-failed", $"'docker' cannot be run: {error.Message}", inner: error);
        }
    }
}

/// <summary>What the image answered in a container.</summary>
internal sealed record ServedFigures
{
    public required string Image { get; init; }

    /// <summary>From <c>docker run</c> to its first answer that it is ready.</summary>
    public required double ReadySeconds { get; init; }

    public required int Samples { get; init; }

    public required double Top1 { get; init; }
}
