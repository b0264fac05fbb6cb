using System.Collections.Concurrent;
using System.Net;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Telemetry;

/// <summary>One span as it came over the wire.</summary>
/// <param name="Service">Who sent it.</param>
/// <param name="Trace">Its trace, in hexadecimal.</param>
/// <param name="Name">What was done.</param>
internal sealed record Span(string Service, string Trace, string Name);

/// <summary>Takes traces as a collector does: OTLP over HTTP, as protobuf. Reads what the tests ask for by the numbers of the fields in opentelemetry/proto/trace/v1/trace.proto.</summary>
internal sealed class TraceCollector : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<Span> _spans = new();

    private TraceCollector(int port)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, port));
        _app = builder.Build();
        Address = $"http://127.0.0.1:{port}";
        _app.MapPost("/v1/traces", async (HttpRequest request) =>
        {
            using var body = new MemoryStream();
            await request.Body.CopyToAsync(body);
            foreach (var resource in Fields(body.ToArray(), 1))
                Read(resource);
            return Results.Ok();
        });
    }

    public string Address { get; }

    public IReadOnlyCollection<Span> Spans => _spans;

    /// <summary>What a service is told so that its traces come here soon.</summary>
    public IReadOnlyDictionary<string, string> Options => new Dictionary<string, string>
    {
        ["OTEL_EXPORTER_OTLP_ENDPOINT"] = Address,
        ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
        ["OTEL_BSP_SCHEDULE_DELAY"] = "200",
    };

    public static async Task<TraceCollector> StartAsync()
    {
        var collector = new TraceCollector(ServerProcess.FreePort());
        await collector._app.StartAsync();
        return collector;
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private void Read(byte[] resourceSpans)
    {
        var service = Fields(resourceSpans, 1).SelectMany(resource => Fields(resource, 1))
            .Where(attribute => Text(attribute, 1) == "service.name").Select(attribute => Text(Fields(attribute, 2).Single(), 1)).Single();
        foreach (var span in Fields(resourceSpans, 2).SelectMany(scope => Fields(scope, 2)))
            _spans.Enqueue(new Span(service, Convert.ToHexStringLower(Fields(span, 1).Single()), Text(span, 5)));
    }

    private static string Text(byte[] message, int field) => System.Text.Encoding.UTF8.GetString(Fields(message, field).Single());

    /// <summary>The contents of all fields of this number that have a length.</summary>
    private static List<byte[]> Fields(byte[] message, int number)
    {
        var found = new List<byte[]>();
        using var input = new CodedInputStream(message);
        while (input.ReadTag() is var tag and not 0)
        {
            if (tag == WireFormat.MakeTag(number, WireFormat.WireType.LengthDelimited))
                found.Add(input.ReadBytes().ToByteArray());
            else
                input.SkipLastField();
        }
        return found;
    }
}
