using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>SIGKILL of the server under a run.</summary>
public sealed class CrashTests(CrashTests.Undisturbed undisturbed) : IClassFixture<CrashTests.Undisturbed>
{
    private const int Seed = 20261123;
    private const int Moments = 10;

    // Three steps and three measurements, each begun and each finished; the last of these ends the run.
    private const int PlacesInRun = 12;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>Places in the run, spread over all of it, each at random within its part.</summary>
    public static IEnumerable<TheoryDataRow<int>> Places
    {
        get
        {
            var random = new Random(Seed);
            return Enumerable.Range(0, Moments).Select(i => new TheoryDataRow<int>((int)((i + random.NextDouble()) * PlacesInRun / Moments)));
        }
    }

    [Theory]
    [MemberData(nameof(Places))]
    public async Task A_run_whose_server_is_killed_completes_once_after_a_restart_with_the_same_output(int place)
    {
        using var folder = new TemporaryFolder();
        var port = ServeProcess.FreePort();
        var killed = await ServeProcess.StartAsync(folder.Home, port, Cancellation);
        // The command line stays: it must bridge the time without a server by itself.
        var command = TinymlCommand.RunAsync(Cancellation, [.. Samples.Run(folder.Output), "--server", killed.Url]);
        var seen = await RunWatch.UntilAsync(killed.Url, run => PlaceOf(run) >= place || RunStates.IsTerminal(run.State), Cancellation);
        await killed.DisposeAsync();
        Assert.False(RunStates.IsTerminal(seen.State), $"the run ended before place {place}: nothing was disturbed");

        await using var restarted = await ServeProcess.StartAsync(folder.Home, port, Cancellation);
        var result = (await command).Expect(0);

        Assert.Equal(undisturbed.Digest, Undisturbed.DigestOf(result));
        var run = Assert.Single(await RunWatch.ListAsync(restarted.Url, Cancellation));
        Assert.Equal(seen.Id, run.Id);
        Assert.Equal(RunStates.Succeeded, run.State);
        Assert.All(run.Steps.Concat(run.Evaluations.Select(e => e.Work)), work => Assert.Single(work.Attempts, a => a.State == AttemptStates.Succeeded));
        var database = Path.Combine(folder.Home, "orchestrator.db");
        var sequences = DatabaseRows.Query(database, "SELECT sequence FROM run_events ORDER BY sequence");
        Assert.Equal(Enumerable.Range(1, sequences.Count).Select(n => $"{n}"), sequences);
        Assert.Single(DatabaseRows.Query(database, "SELECT type FROM run_events"), type => type.Contains("run.succeeded", StringComparison.OrdinalIgnoreCase) || type.EndsWith("RunSucceeded", StringComparison.Ordinal));
    }

    private static int PlaceOf(RunResource run) => run.Steps.Concat(run.Evaluations.Select(e => e.Work)).Sum(work => work.State switch
    {
        StepStates.Succeeded => 2,
        StepStates.Running => 1,
        _ => 0,
    });

    /// <summary>The same run with nothing in its way.</summary>
    public sealed class Undisturbed : IAsyncLifetime
    {
        public string Digest { get; private set; } = "";

        internal static string DigestOf(TinymlResult result) =>
            result.Json.GetProperty("outputs").EnumerateArray().Single(o => o.GetProperty("kind").GetString() == "bundle").GetProperty("digest").GetString()!;

        public async ValueTask InitializeAsync()
        {
            using var folder = new TemporaryFolder();
            await using var server = await ServeProcess.StartAsync(folder.Home, 0, CancellationToken.None);
            Digest = DigestOf((await TinymlCommand.RunAsync(CancellationToken.None, [.. Samples.Run(folder.Output), "--server", server.Url])).Expect(0));
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
