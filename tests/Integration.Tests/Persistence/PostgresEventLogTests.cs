using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Services.Tests.Orchestrator;
using TinyMLaaS.Services.Tests.Orchestrator.Events;

namespace TinyMLaaS.Integration.Tests.Persistence;

public sealed class PostgresEventLogTests(ServersInUse use) : EventLogCompliance, IClassFixture<ServersInUse>
{
    // SQLite has one writer at a time, so only here can an event be written first and be committed last.
    [Fact]
    public async Task An_event_that_is_written_first_and_committed_last_is_not_skipped()
    {
        await using var host = await StartAsync();
        var (late, early) = (Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse"));
        await host.SubmitAsync(late);
        await host.SubmitAsync(early);
        var known = (await FollowAsync(host, 2)).Count;

        await using var first = await Writing.BeginAsync(host, late.RunId, 2, 1);
        await using (var second = await Writing.BeginAsync(host, early.RunId, 2, 1))
            await second.CommitAsync();
        // The reader comes as far as it can before the first commits.
        await OrchestratorHost.UntilAsync(async () => (await ReadAsync(host, known)).Items.Count == 1);
        var before = await ReadAsync(host, known);
        Assert.Equal($"{early.RunId}:2", before.Items[0].Id);
        await first.CommitAsync();
        await OrchestratorHost.UntilAsync(async () => (await ReadAsync(host, before.Position)).Items.Count == 1);

        Assert.Equal($"{late.RunId}:2", (await ReadAsync(host, before.Position)).Items[0].Id);
    }

    // Whoever gives positions is one at a time: the second waits for the first's end and then sees what is left.
    [Fact]
    public async Task Two_who_give_positions_at_once_give_each_once()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        await FollowAsync(host, 1);
        await using (var writing = await Writing.BeginAsync(host, run.RunId, 2, 2500))
            await writing.CommitAsync();

        var given = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Positions(host).AssignAsync(Cancellation)));

        Assert.InRange(given.Sum(), 0, 2500);
        Assert.Equal(Enumerable.Range(1, 2501).Select(i => $"{i}"), (await FollowAsync(host, 2501)).Select(e => e.Position));
    }

    private protected override async Task<OrchestratorHost> StartAsync()
    {
        var database = await use.Servers.NewDatabaseAsync();
        return await OrchestratorHost.StartAsync(Folder.Path, settings => settings["Orchestrator:Database"] = database);
    }
}
