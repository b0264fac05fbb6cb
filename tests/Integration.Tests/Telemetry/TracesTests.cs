using System.Net.Http.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Integration.Tests.Stacks;

namespace TinyMLaaS.Integration.Tests.Telemetry;

/// <summary>A run is one trace, from the request of its client through outbox and broker to the work of each step, however long that came later.</summary>
public sealed class TracesTests(ServersInUse use) : IClassFixture<ServersInUse>
{
    private const string OtherTrace = "1bf7651916cd43dd8448eb211c80319d";
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";

    [Fact]
    public async Task One_trace_leads_from_the_request_to_the_spans_of_the_workers()
    {
        await using var collector = await TraceCollector.StartAsync();
        await using var stack = await Stack.StartAsync(await use.Servers.NewVirtualHostAsync(), await use.Servers.NewDatabaseAsync(), "", options: collector.Options);
        await stack.StartServiceAsync("compiler", "", collector.Options);
        await stack.ReadyAsync();
        var model = await stack.UploadAsync(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation));

        var run = await RunAsync(stack, model, Trace);
        Assert.Equal(RunStates.Succeeded, (await stack.EndedAsync([run]))[0].State);

        (string Service, string Name)[] expected =
        [
            ("pipeline-api", "POST /v1/runs"),
            ("compiler", "attempt compiler/fuse"),
            ("compiler", "attempt compiler/float16"),
        ];
        bool Has(string service, string name) => collector.Spans.Any(s => s.Trace == Trace && s.Service == service && s.Name.Contains(name, StringComparison.OrdinalIgnoreCase));
        await Stack.UntilAsync(
            () => Task.FromResult(expected.All(e => Has(e.Service, e.Name)) && Has("orchestrator", "v1.orchestrator.runs process") && Has("artifact-store", "v1/artifacts")),
            () => Task.FromResult(string.Join('\n', collector.Spans.Where(s => s.Trace == Trace)) + "\nof other traces:\n" + string.Join('\n', collector.Spans.Where(s => s.Trace != Trace).Distinct().Take(40)) + stack.Outputs()));

        await LogEventsSayForWhatTheyAreAsync(stack, model, collector.Options);
    }

    /// <summary>Each service tells of a step that cannot work with the run, the step, the attempt and the trace: here of one whose input is damaged on disk.</summary>
    private static async Task LogEventsSayForWhatTheyAreAsync(Stack stack, string model, IReadOnlyDictionary<string, string> options)
    {
        // Accepted while its input is good, and begun when it no longer is.
        await stack.KillAsync("compiler");
        var run = await RunAsync(stack, model, OtherTrace);
        var hex = model["sha256:".Length..];
        await File.WriteAllTextAsync(Path.Combine(stack.Artifacts, "default", "sha256", hex[..2], hex), "damaged", Stack.Cancellation);
        await stack.StartServiceAsync("compiler", "", options);
        Assert.Equal(RunStates.Failed, (await stack.EndedAsync([run]))[0].State);

        foreach (var (service, words) in ((string, string)[])[("artifact-store", "artifact-damaged"), ("orchestrator", "failed with"), ("compiler", "failed")])
        {
            JsonNode? told = null;
            await Stack.UntilAsync(
                () =>
                {
                    told = stack.Process(service).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!)
                        .FirstOrDefault(e => (string?)e["Run"] == run.ToString() && (int?)e["Attempt"] == 1 && e.ToJsonString().Contains(words, StringComparison.Ordinal));
                    return Task.FromResult(told is not null);
                },
                () => Task.FromResult($"{service} does not tell of attempt 1 of run {run}{stack.Outputs()}"));
            Assert.Equal((1, OtherTrace, service), ((int)told!["Step"]!, (string?)told["@tr"], (string?)told["Service"]));
        }
    }

    private static async Task<Guid> RunAsync(Stack stack, string model, string trace)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/runs")
        {
            Content = JsonContent.Create(new { model, cache = false, pipeline = new { steps = new[] { new { uses = "compiler/fuse" }, new { uses = "compiler/float16" } } } }),
            Headers = { { "traceparent", $"00-{trace}-b7ad6b7169203331-01" } },
        };
        using var accepted = await stack.Http.SendAsync(request, Stack.Cancellation);
        return (Guid)JsonNode.Parse(await accepted.Content.ReadAsStringAsync(Stack.Cancellation))!["id"]!;
    }
}
