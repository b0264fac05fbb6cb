using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class RunLifeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Runs_every_step_on_the_output_of_the_one_before_and_succeeds()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse", "compiler/quantize");
        var run = Runs.Of("compiler/fuse", "compiler/quantize");

        var accepted = await host.SubmitAsync(run);
        Assert.Equal(1, accepted.Message.Sequence);
        var first = await host.OfferAsync();
        Assert.Equal(("compiler/fuse", 1, 1, run.Model), (first.Uses, first.Step, first.Attempt, first.Input));
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(first));
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(first));
        var second = await host.OfferAsync();
        Assert.Equal(("compiler/quantize", 2), (second.Uses, second.Step));
        Assert.Equal(Runs.Artifact("output of compiler/fuse at 1", "onnx"), second.Input);
        Assert.Equal(["compiler/fuse"], second.Recipe.Steps.Select(s => s.Uses));
        Assert.True(second.Fence > first.Fence);
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(second));
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(second));

        var done = await host.ReadAsync(run.RunId);
        Assert.Equal(RunStates.Succeeded, done.PublicState);
        Assert.Equal(
            ["run.accepted", "step.offered", "run.started", "step.started", "step.succeeded", "step.offered", "step.started", "step.succeeded", "run.succeeded"],
            done.Events.OrderBy(e => e.Sequence).Select(e => e.Type["io.tinymlaas.".Length..^".v1".Length]));
        Assert.Equal(Enumerable.Range(1, 9).Select(i => (long)i), done.Events.Select(e => e.Sequence).Order());
    }
}
