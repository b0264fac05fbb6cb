using System.Runtime.CompilerServices;
using TinyMLaaS.Standalone;

namespace TinyMLaaS.EndToEnd.Tests.Traces;

public sealed class TraceTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_step_of_the_demo_passes_the_api_the_saga_the_store_and_a_worker()
    {
        using var folder = new TemporaryFolder();
        using var listener = new TraceListener();
        IReadOnlyList<string> trace;
        await using (var server = await StandaloneServer.StartAsync(new StandaloneOptions { Home = folder.Home }, Cancellation))
        {
            (await TinymlCommand.RunAsync(Cancellation, "demo", "--json", "--home", folder.Home, "--out", folder.Output)).Expect(0);
            var run = Assert.Single(await RunWatch.ListAsync(server.Url.ToString(), Cancellation));
            trace = RunTrace.Describe(listener.Activities, run, server.Url);
        }

        // Said here too, so that nobody can give it up by replacing the file below.
        foreach (var (heading, worker, input, files) in ((string, string, string, int)[])
            [("1 compiler/fuse", "compiler", "model", 2), ("2 compiler/quantize", "compiler", "output 1", 2), ("3 installer/bundle", "installer", "output 2", 2),
             ("0 measured", "compiler", "model", 1), ("1 measured", "compiler", "output 1", 1), ("2 measured", "compiler", "output 2", 1)])
        {
            var section = trace.SkipWhile(l => l != heading).Skip(1).TakeWhile(l => l.StartsWith(' ')).Select(l => l.Trim()).ToList();
            string[] must = [$"{worker} takes StepOffer", "the saga takes ClaimAttempt", $"GET /v1/artifacts/{{{input}}} at artifact-store: 200", "POST /v1/artifacts at artifact-store: stored", "the saga takes CompleteAttempt"];
            var places = must.Select(line => section.IndexOf(line)).ToArray();
            Assert.True(places.All(p => p >= 0) && places.SequenceEqual(places.Order()), $"{heading}:\n{string.Join('\n', section)}");
            Assert.InRange(section.Count(l => l == "POST /v1/artifacts at artifact-store: stored"), files, files);
        }
        Assert.Equal(await File.ReadAllLinesAsync(Golden(), Cancellation), trace);
    }

    private static string Golden([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "demo.trace.txt");
}
