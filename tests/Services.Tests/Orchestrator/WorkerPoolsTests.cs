using System.Text.Json;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.Orchestrator.Dispatching;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class WorkerPoolsTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly WorkerPools _pools;

    public WorkerPoolsTests() => _pools = new WorkerPools(_time, Options.Create(new OrchestratorOptions { SilenceSeconds = 15 }));

    [Fact]
    public void Instances_of_a_kind_are_one_pool_with_the_slots_and_transformers_of_all()
    {
        _pools.Note(Announcement("compiler", 1, slots: 2, ("compiler/fuse", "9")));
        _pools.Note(Announcement("compiler", 2, slots: 3, ("compiler/fuse", "10")));
        _pools.Note(Announcement("installer", 1, slots: 1, ("installer/bundle", "1")));

        Assert.Equal([("compiler", 5), ("installer", 1)], _pools.Current().Values.Select(p => (p.Worker, p.Slots)).Order());
        var compiler = _pools.Current()["compiler"];
        Assert.Equal("10", compiler.VersionFor("compiler/fuse", null));
        Assert.Equal("9", compiler.VersionFor("compiler/fuse", "9"));
        Assert.Null(compiler.VersionFor("compiler/fuse", "3"));
        Assert.Null(compiler.VersionFor("compiler/prune", null));
    }

    [Fact]
    public void An_instance_counts_while_it_is_heard_of_and_no_longer()
    {
        _pools.Note(Announcement("compiler", 1, slots: 2));
        _time.Advance(TimeSpan.FromSeconds(10));
        _pools.Note(Announcement("compiler", 2, slots: 3));
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(5, _pools.Current()["compiler"].Slots);
        _time.Advance(TimeSpan.FromTicks(1));
        Assert.Equal(3, _pools.Current()["compiler"].Slots);

        _pools.Note(Announcement("compiler", 2, slots: 3) with { Leaving = true });
        Assert.Empty(_pools.Current());
    }

    private static WorkerAnnounced Announcement(string worker, int number, int slots, params (string Name, string Version)[] transformers) => new()
    {
        Worker = worker,
        Instance = $"{worker}-{number}",
        Queue = $"v1.offer.any.{worker}",
        Slots = slots,
        Transformers = [.. transformers.Select(t => new TransformerDescriptor
        {
            Name = t.Name, Version = t.Version, Summary = t.Name, Accepts = [ArtifactKinds.Onnx], Produces = ArtifactKinds.Onnx, Options = JsonElement.Parse("{}"),
        })],
        At = default,
    };
}
