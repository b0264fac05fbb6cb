using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>Who waits for a run is woken by its next change, and nothing is kept of runs that nobody waits for.</summary>
public sealed class RunChangesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Each_watcher_of_a_run_hears_of_each_change_and_of_no_other_run()
    {
        using var changes = new RunChanges();
        var run = Guid.NewGuid();
        using var one = changes.Watch(run);
        using var other = changes.Watch(Guid.NewGuid());
        var first = one.Next();
        Task second;
        using (var late = changes.Watch(run))
        {
            changes.Notify(run);
            second = late.Next();
        }

        Assert.True(first.IsCompletedSuccessfully);
        Assert.False(second.IsCompleted);
        Assert.False(other.Next().IsCompleted);
        changes.Notify(run);
        Assert.True(second.IsCompletedSuccessfully);
        Assert.Equal(2, changes.Count);
        one.Dispose();
        one.Dispose();
        Assert.Equal(1, changes.Count);
    }

    [Fact]
    public async Task Whatever_runs_are_asked_for_nothing_of_them_stays_in_memory()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        await host.SubmitAsync(Runs.Of("compiler/fuse"));
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.CompleteAsync(offer);

        foreach (var run in (Guid[])[offer.RunId, Guid.NewGuid(), Guid.NewGuid()])
        {
            foreach (var route in (string[])["", "?wait=1s", "/steps/1/logs", "/steps/1/logs?follow=true"])
                (await host.Http.GetAsync($"v1/runs/{run}{route}", Cancellation)).Dispose();
        }

        Assert.Equal(0, host.Services.GetRequiredService<RunChanges>().Count);
    }
}
