using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.ML.OnnxRuntime;
using BadHttpRequestException = Microsoft.AspNetCore.Http.BadHttpRequestException;

namespace TinyMLaaS.ModelServer;

/// <summary>Networks over HTTP: Open Inference Protocol v2, health and metrics.</summary>
internal sealed class ModelServer : IDisposable
{
    private const int MostConnections = 1024;

    /// <summary>Inferences that wait for one to end, for each that may run: more would only wait longer.</summary>
    private const int WaitingForEach = 16;

    private static readonly TimeSpan StopWithin = TimeSpan.FromSeconds(10);

    private readonly ServerOptions _options;
    private readonly IReadOnlyDictionary<string, ServedModel> _models;
    private readonly BodyMemory _memory;
    private readonly SemaphoreSlim _slots;
    private readonly Metrics _metrics = new();
    private int _waiting;
    private volatile bool _ready;

    private ModelServer(ServerOptions options, IReadOnlyDictionary<string, ServedModel> models)
    {
        _options = options;
        _models = models;
        _memory = new BodyMemory(options.MaxMemoryBytes, options.MaxBodyBytes);
        _slots = new SemaphoreSlim(options.Concurrency, options.Concurrency);
    }

    /// <summary>Loads the models; what is built serves them once it is started, and stops at SIGTERM after the requests that it has.</summary>
    /// <exception cref="ModelException">A model cannot be served.</exception>
    public static WebApplication Build(ServerOptions options)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "model-server" });
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxConcurrentConnections = MostConnections;
            // Bodies are bounded as they are read, and the refusal names the option.
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
            kestrel.Listen(options.Address, options.Port);
        });
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = StopWithin);
        builder.Logging.SetMinimumLevel(LogLevel.Warning).AddFilter("Microsoft.Hosting.Lifetime", LogLevel.None).AddFilter("Microsoft.Extensions.Hosting", LogLevel.None).AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "yyyy-MM-ddTHH:mm:ssZ ";
            console.UseUtcTimestamp = true;
        });
        var server = new ModelServer(options, ModelFolder.Load(options.Models, options.Threads));
        builder.Services.AddSingleton(_ => server);
        var app = builder.Build();
        // So that it is disposed of with the rest.
        app.Services.GetRequiredService<ModelServer>();
        app.Lifetime.ApplicationStarted.Register(() => server._ready = true);
        app.Lifetime.ApplicationStopping.Register(() => server._ready = false);
        app.Run(server.AnswerAsync);
        return app;
    }

    public void Dispose()
    {
        foreach (var model in _models.Values)
            model.Dispose();
        _slots.Dispose();
    }

    private async Task AnswerAsync(HttpContext http)
    {
        try
        {
            await RouteAsync(http);
        }
        catch (RefusedException refusal)
        {
            await RefuseAsync(http, refusal);
        }
        catch (BadHttpRequestException error)
        {
            await RefuseAsync(http, new RefusedException(error.StatusCode, "malformed-request", $"The request cannot be read: {error.Message}"));
        }
        catch (OutOfMemoryException)
        {
            await RefuseAsync(http, new RefusedException(503, "overloaded", "There is no memory for this request now. Try again, or send less."));
        }
        catch (Exception error) when (http.RequestAborted.IsCancellationRequested && error is OperationCanceledException or IOException)
        {
            // Nobody waits for the answer any more.
            http.Abort();
        }
    }

    private async Task RouteAsync(HttpContext http)
    {
        var path = http.Request.Path.Value ?? "";
        var parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        switch (parts)
        {
            case ["metrics"]:
                RequireMethod(http, HttpMethods.Get);
                http.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
                await http.Response.WriteAsync(_metrics.Write(_models.Values, _memory.Taken), http.RequestAborted);
                break;
            case ["v2"]:
                RequireMethod(http, HttpMethods.Get);
                await WriteAsync(http, json =>
                {
                    json.WriteString("name", "model-server");
                    json.WriteString("version", typeof(ModelServer).Assembly.GetName().Version!.ToString(3));
                    json.WriteStartArray("extensions");
                    json.WriteStringValue("binary_tensor_data");
                    json.WriteEndArray();
                });
                break;
            case ["v2", "health", "live"]:
                RequireMethod(http, HttpMethods.Get);
                await WriteAsync(http, json => json.WriteBoolean("live", true));
                break;
            case ["v2", "health", "ready"]:
                RequireMethod(http, HttpMethods.Get);
                http.Response.StatusCode = _ready ? 200 : 503;
                await WriteAsync(http, json => json.WriteBoolean("ready", _ready));
                break;
            case ["v2", "models", var name, "versions", var version, .. var rest]:
                if (version != ServedModel.Version)
                    throw new RefusedException(404, "no-such-version", $"Model '{Find(name).Name}' has no version '{Short(version)}' here, but {ServedModel.Version}.");
                await RouteModelAsync(http, Find(name), rest);
                break;
            case ["v2", "models", var name, .. var rest]:
                await RouteModelAsync(http, Find(name), rest);
                break;
            default:
                throw NoRoute(http);
        }
    }

    private async Task RouteModelAsync(HttpContext http, ServedModel model, string[] rest)
    {
        switch (rest)
        {
            case []:
                RequireMethod(http, HttpMethods.Get);
                await WriteAsync(http, json => Describe(json, model));
                break;
            case ["ready"]:
                RequireMethod(http, HttpMethods.Get);
                http.Response.StatusCode = _ready ? 200 : 503;
                await WriteAsync(http, json =>
                {
                    json.WriteString("name", model.Name);
                    json.WriteBoolean("ready", _ready);
                });
                break;
            case ["infer"]:
                RequireMethod(http, HttpMethods.Post);
                await MeasureAsync(http, model);
                break;
            default:
                throw NoRoute(http);
        }
    }

    private async Task MeasureAsync(HttpContext http, ServedModel model)
    {
        var since = Stopwatch.GetTimestamp();
        var status = 499;
        try
        {
            await InferAsync(http, model);
            status = http.Response.StatusCode;
        }
        catch (RefusedException refusal)
        {
            status = refusal.Status;
            throw;
        }
        catch (BadHttpRequestException error)
        {
            status = error.StatusCode;
            throw;
        }
        finally
        {
            _metrics.Answered(model.Name, status, Stopwatch.GetElapsedTime(since));
        }
    }

    private async Task InferAsync(HttpContext http, ServedModel model)
    {
        InferRequest request;
        IDisposableReadOnlyCollection<OrtValue> made;
        using (var body = await _memory.ReadAsync(http.Request, http.RequestAborted))
        {
            request = InferRequest.Read(model, body.Content, HeaderLength(http));
            made = await RunAsync(model, request, body.Content, http.RequestAborted);
        }
        using var outputs = made;
        // A client that reads slowly holds them without a slot.
        using var room = _memory.TakeForOutputs(outputs.Sum(InferResponse.Size));
        await InferResponse.WriteAsync(http.Response, model, request, [.. outputs], http.RequestAborted);
    }

    /// <summary>Waits for a slot, then makes the inputs and runs the network in this thread: that is what the slots are for.</summary>
    private async Task<IDisposableReadOnlyCollection<OrtValue>> RunAsync(ServedModel model, InferRequest request, ReadOnlyMemory<byte> body, CancellationToken cancellation)
    {
        if (Interlocked.Increment(ref _waiting) > _options.Concurrency * (1 + WaitingForEach))
        {
            Interlocked.Decrement(ref _waiting);
            throw new RefusedException(503, "overloaded", $"{_options.Concurrency} inferences run and {_options.Concurrency * WaitingForEach} wait, as many as this server lets (--concurrency). Try again.");
        }
        try
        {
            await _slots.WaitAsync(cancellation);
            OrtValue[] inputs = [];
            try
            {
                inputs = request.CreateInputs(body);
                using var running = _metrics.Begin();
                var since = Stopwatch.GetTimestamp();
                var outputs = model.Run([.. model.Inputs.Select(i => i.Name)], inputs, [.. request.Outputs.Select(o => o.Info.Name)], _options.TimeLimit, cancellation);
                _metrics.Inferred(model.Name, Stopwatch.GetElapsedTime(since));
                return outputs;
            }
            finally
            {
                foreach (var input in inputs)
                    input.Dispose();
                _slots.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private static int? HeaderLength(HttpContext http)
    {
        if (http.Request.Headers[InferResponse.HeaderLength] is not [{ } text])
            return null;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var length)
            ? length
            : throw new RefusedException(400, "malformed-request", $"{InferResponse.HeaderLength} is '{Short(text)}'. Expected the length of the JSON part of the body in bytes.");
    }

    private ServedModel Find(string name) => _models.TryGetValue(name, out var model)
        ? model
        : throw new RefusedException(404, "no-such-model", $"There is no model '{Short(name)}' here. There is {string.Join(", ", _models.Keys.Order(StringComparer.Ordinal).Take(16).Select(n => $"'{n}'"))}.");

    private static void RequireMethod(HttpContext http, string method)
    {
        if (HttpMethods.Equals(http.Request.Method, method) || (method == HttpMethods.Get && HttpMethods.IsHead(http.Request.Method)))
            return;
        http.Response.Headers.Allow = method;
        throw new RefusedException(405, "method-not-allowed", $"{http.Request.Method} {Short(http.Request.Path.Value)} is not served; {method} is.");
    }

    private static RefusedException NoRoute(HttpContext http) => new(404, "no-such-route", $"There is nothing at {Short(http.Request.Path.Value)}. There is /v2/health/live, /v2/health/ready, /v2/models/NAME, /v2/models/NAME/infer and /metrics.");

    private static void Describe(Utf8JsonWriter json, ServedModel model)
    {
        json.WriteString("name", model.Name);
        json.WriteStartArray("versions");
        json.WriteStringValue(ServedModel.Version);
        json.WriteEndArray();
        json.WriteString("platform", "onnx_onnxruntime");
        foreach (var (side, tensors) in (ReadOnlySpan<(string, IReadOnlyList<TensorInfo>)>)[("inputs", model.Inputs), ("outputs", model.Outputs)])
        {
            json.WriteStartArray(side);
            foreach (var tensor in tensors)
            {
                json.WriteStartObject();
                json.WriteString("name", tensor.Name);
                json.WriteString("datatype", tensor.Type.Name);
                json.WriteStartArray("shape");
                foreach (var dimension in tensor.Shape)
                    json.WriteNumberValue(dimension);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        if (model.Digest is { } digest)
        {
            json.WriteStartObject("parameters");
            json.WriteString("digest", digest);
            json.WriteEndObject();
        }
    }

    private static async Task RefuseAsync(HttpContext http, RefusedException refusal)
    {
        if (http.Response.HasStarted)
        {
            http.Abort();
            return;
        }
        http.Response.StatusCode = refusal.Status;
        if (refusal.Status == 503)
            http.Response.Headers.RetryAfter = "1";
        // The rest of a body that was refused is not read.
        if (refusal.Status is 413 or 503)
            http.Response.Headers.Connection = "close";
        await WriteAsync(http, json =>
        {
            json.WriteString("error", refusal.Message);
            json.WriteString("code", refusal.Code);
        });
    }

    private static async Task WriteAsync(HttpContext http, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, InferResponse.Format))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = buffer.WrittenCount;
        if (!HttpMethods.IsHead(http.Request.Method))
            await http.Response.Body.WriteAsync(buffer.WrittenMemory, http.RequestAborted);
    }

    // What a client sent comes back in part only, and as text that no terminal obeys.
    private static string Short(string? text)
    {
        var shown = new StringBuilder();
        foreach (var c in (text ?? "").Take(64))
            shown.Append(char.IsControl(c) || char.IsSurrogate(c) ? '?' : c);
        return text?.Length > 64 ? shown + "..." : shown.ToString();
    }
}
