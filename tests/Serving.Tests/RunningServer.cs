using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using TinyMLaaS.ModelServer;

namespace TinyMLaaS.Serving.Tests;

/// <summary>A server in this process, on a port of its own.</summary>
internal sealed class RunningServer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private RunningServer(WebApplication app)
    {
        _app = app;
        Http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
    }

    public HttpClient Http { get; }

    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static ServerOptions Options(string folder, params string[] arguments) =>
        ServerOptions.Read(["--models", folder, "--port", "0", .. arguments], _ => null, out var wrong) ?? throw new ArgumentException(string.Join(" ", wrong));

    public static async Task<RunningServer> StartAsync(string folder, params string[] arguments)
    {
        var app = ModelServer.ModelServer.Build(Options(folder, arguments));
        await app.StartAsync(Cancellation);
        return new RunningServer(app);
    }

    public async Task<JsonNode> GetAsync(string path) => JsonNode.Parse(await Http.GetStringAsync(path, Cancellation))!;

    public Task<HttpResponseMessage> InferAsync(string model, JsonNode body) => SendAsync(model, JsonSerializer.SerializeToUtf8Bytes(body));

    public async Task<HttpResponseMessage> SendAsync(string model, byte[] body, int? jsonLength = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"v2/models/{model}/infer") { Content = new ByteArrayContent(body) };
        if (jsonLength is { } length)
            request.Headers.Add("Inference-Header-Content-Length", length.ToString(System.Globalization.CultureInfo.InvariantCulture));
        return await Http.SendAsync(request, Cancellation);
    }

    /// <summary>The answer of a request that is served.</summary>
    public async Task<JsonNode> AnswerAsync(string model, JsonNode body)
    {
        using var answer = await InferAsync(model, body);
        var text = await answer.Content.ReadAsStringAsync(Cancellation);
        Assert.True(answer.StatusCode == HttpStatusCode.OK, $"{(int)answer.StatusCode}: {text}");
        return JsonNode.Parse(text)!;
    }

    /// <summary>The refusal of one that is not.</summary>
    public async Task<(int Status, string Code, string Error)> RefusalAsync(string model, string body, int? jsonLength = null)
    {
        using var answer = await SendAsync(model, Encoding.UTF8.GetBytes(body), jsonLength);
        var problem = JsonNode.Parse(await answer.Content.ReadAsStringAsync(Cancellation))!;
        return ((int)answer.StatusCode, (string?)problem["code"] ?? "", (string?)problem["error"] ?? "");
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.DisposeAsync();
    }
}
