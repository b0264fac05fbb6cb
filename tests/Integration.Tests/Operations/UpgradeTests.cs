using System.Globalization;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Operations;

/// <summary>F14: several orchestrators at once, of one version and of two, with runs in flight.</summary>
public sealed class UpgradeTests(FaultServers servers) : IClassFixture<FaultServers>
{
    private const int RunsPerPhase = 8;
    private const string Old = "orchestrator";
    private const string New = "orchestrator-2";
    private const int OnTheirWay = 6;

    [Fact]
    public async Task An_orchestrator_is_upgraded_beside_the_one_before_and_taken_back_without_a_run_noticing()
    {
        var previous = await PreviousOrchestrator.BuildAsync();
        Console.WriteLine($"the orchestrator before: {previous.Commit}");
        await using var faulty = await servers.NotStartedAsync();
        var stack = faulty.Stack;
        await stack.MigrateAsync(Old, previous.Assembly);
        await stack.MigrateAsync("pipeline-api");
        await NoteWritersAsync(faulty);
        await using var balance = new TcpRelay(stack.PortOf(Old), stack.PortOf(New));
        await StartAsync(stack, Old, faulty, previous.Assembly);
        await StartRestAsync(stack, "tests", balance);
        await stack.StartWorkersAsync(new TestWorkerModule("tests", Slow("tests/a"), Slow("tests/b")));
        await stack.ReadyAsync();
        await using var load = SteadyLoad.Start(stack, await stack.UploadAsync("network"), OnTheirWay, "tests/a", "tests/b");
        await WorkedAsync(faulty, load, Old);

        // Up: the schema first, under the old one; then the new one beside it; then the new one alone.
        await stack.MigrateAsync(New);
        await WorkedAsync(faulty, load, Old);
        await StartAsync(stack, New, faulty);
        await WorkedAsync(faulty, load, Old, New);
        await stack.StopAsync(Old);
        await WorkedAsync(faulty, load, New);
        // And back, on the new schema.
        await StartAsync(stack, Old, faulty, previous.Assembly);
        await WorkedAsync(faulty, load, Old, New);
        await stack.StopAsync(New);
        await WorkedAsync(faulty, load, Old);

        await SucceedAsync(faulty, await load.StopAsync());
    }

    [Fact]
    public async Task Two_orchestrators_and_two_of_each_worker_share_the_work()
    {
        await using var faulty = await servers.NotStartedAsync();
        var stack = faulty.Stack;
        await stack.MigrateAsync("orchestrator");
        await stack.MigrateAsync("pipeline-api");
        await NoteWritersAsync(faulty);
        await using var balance = new TcpRelay(stack.PortOf("orchestrator"), stack.PortOf("orchestrator-2"));
        foreach (var orchestrator in (string[])["orchestrator", "orchestrator-2"])
            await StartAsync(stack, orchestrator, faulty);
        await StartRestAsync(stack, "compiler,installer", balance);
        foreach (var worker in (string[])["compiler", "compiler-2", "installer", "installer-2"])
            await stack.StartServiceAsync(worker, "");
        await stack.ReadyAsync();
        await using var load = SteadyLoad.Start(stack, await stack.UploadAsync(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation)), OnTheirWay, "compiler/fuse", "installer/bundle");

        await WorkedAsync(faulty, load, "orchestrator", "orchestrator-2");
        foreach (var step in (int[])[1, 2])
        {
            await Stack.UntilAsync(
                async () => (long)(await servers.Database.ScalarAsync(
                    faulty.DatabaseName, string.Create(CultureInfo.InvariantCulture, $"""SELECT count(DISTINCT "Worker") FROM orchestrator.step_attempts WHERE "Step" = {step} AND "State" = 'succeeded'""")))! == 2,
                () => Task.FromResult($"one worker does all of step {step}{stack.Outputs()}"));
        }

        await SucceedAsync(faulty, await load.StopAsync());
    }

    private static TestTransformer Slow(string name) => TestTransformer.AppendAfter(TimeSpan.FromMilliseconds(200), name, name);

    // The database knows an orchestrator by the name that it connects with.
    private static Task StartAsync(Stack stack, string name, FaultyStack faulty, string? assembly = null) =>
        stack.StartServiceAsync(name, "", new Dictionary<string, string> { ["Orchestrator__Database"] = $"{faulty.Connection};Application Name={name}" }, assembly);

    private static async Task StartRestAsync(Stack stack, string expected, TcpRelay balance)
    {
        await stack.StartServiceAsync("artifact-store", "");
        await stack.StartServiceAsync(
            "pipeline-api", expected, new Dictionary<string, string> { ["Services__orchestrator"] = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{balance.Port}") });
    }

    /// <summary>From now on the database notes which orchestrator writes the events of runs. No code of ours takes part.</summary>
    private Task NoteWritersAsync(FaultyStack faulty) => servers.Database.ScalarAsync(faulty.DatabaseName, """
        CREATE TABLE public.writers (name text PRIMARY KEY, events bigint NOT NULL);
        CREATE FUNCTION public.note_writer() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          INSERT INTO public.writers VALUES (current_setting('application_name'), 1) ON CONFLICT (name) DO UPDATE SET events = writers.events + 1;
          RETURN NULL;
        END $$;
        CREATE TRIGGER note_writer AFTER INSERT ON orchestrator.run_events FOR EACH STATEMENT EXECUTE FUNCTION public.note_writer();
        """);

    /// <summary>Waits until runs that were accepted from now on have succeeded and exactly these orchestrators have written events meanwhile.</summary>
    private async Task WorkedAsync(FaultyStack faulty, SteadyLoad load, params string[] orchestrators)
    {
        await servers.Database.ScalarAsync(faulty.DatabaseName, "DELETE FROM public.writers");
        var last = await load.MoreAsync(RunsPerPhase);
        await Stack.UntilAsync(
            async () => await WritersAsync(faulty) is var writers && orchestrators.All(writers.Contains),
            async () => $"of {string.Join(", ", orchestrators)} only [{string.Join(", ", await WritersAsync(faulty))}] did anything{faulty.Stack.Outputs()}");
        Assert.Equal(RunStates.Succeeded, (await faulty.Stack.EndedAsync([last]))[0].State);
        Assert.Equal(orchestrators.Order(), (await WritersAsync(faulty)).Order());
    }

    private async Task<string[]> WritersAsync(FaultyStack faulty) =>
        (await servers.Database.ScalarAsync(faulty.DatabaseName, "SELECT string_agg(name, ',') FROM public.writers") as string)?.Split(',') ?? [];

    private static async Task SucceedAsync(FaultyStack faulty, IReadOnlyList<Guid> runs)
    {
        Assert.Equal(runs.Count, runs.Distinct().Count());
        foreach (var some in runs.Chunk(20))
            Assert.All(await faulty.Stack.EndedAsync(some), run => Assert.Equal(RunStates.Succeeded, run.State));
        await faulty.HoldAsync(runs);
    }
}
