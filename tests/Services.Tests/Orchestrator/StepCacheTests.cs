using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class StepCacheTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_same_run_again_comes_from_the_cache_without_an_attempt()
    {
        await using var host = await StartAsync();
        var first = Cached(Runs.Of("compiler/fuse", "compiler/quantize").Evaluated());
        await host.SubmitAsync(first);
        for (var i = 0; i < 5; i++)
        {
            var offer = await host.OfferAsync();
            await host.ClaimAsync(offer);
            await host.CompleteAsync(offer, metrics: new Dictionary<string, double> { ["top1"] = 0.5 + offer.Step });
        }
        var again = first with { RunId = Guid.NewGuid() };
        await host.SubmitAsync(again);

        var stored = await host.UntilAsync(again.RunId, r => r.IsTerminal);
        Assert.Equal(RunStates.Succeeded, stored.PublicState);
        Assert.All(stored.Steps, s => Assert.True(s is { Cached: true, Attempts.Count: 0 }));
        Assert.Equal(5, stored.Events.Count(e => e.Type == "io.tinymlaas.step.cached.v1"));
        var (a, b) = (await host.GetAsync(first.RunId), await host.GetAsync(again.RunId));
        Assert.Equal(a.Steps.Select(s => s.Outputs.Single()), b.Steps.Select(s => s.Outputs.Single()));
        Assert.Equal(a.Evaluations.Select(e => e.Value), b.Evaluations.Select(e => e.Value));
        Assert.False(host.HasOffer());
    }

    public static TheoryData<string, string> Differences() => new()
    {
        { "cache off", "off" },
        { "tenant", "nothing-alike" },
        { "model", "changed input" },
        { "version", "changed version" },
        { "option", "changed options" },
        { "seed", "changed seed" },
        { "dataset", "changed datasets" },
        { "option and seed", "changed options seed" },
        { "transformer", "nothing-alike" },
        { "dataset that may change", "not-cacheable" },
    };

    [Theory]
    [MemberData(nameof(Differences))]
    public async Task What_the_result_depends_on_makes_another_entry_and_the_step_says_so(string difference, string why)
    {
        await using var host = await StartAsync();
        var first = Cached(Runs.Of("compiler/fuse").With(1, """{"a":1,"b":[2]}""")) with
        {
            Datasets = [new DatasetRef { Name = "d", Artifact = Runs.Artifact("one", ArtifactKinds.Dataset) }],
        };
        first = first with { Pipeline = first.Pipeline with { Steps = [first.Pipeline.Steps[0] with { Datasets = new Dictionary<string, string> { ["calibrate"] = "d" } }] } };
        await host.SubmitAsync(first);
        await host.ToEndAsync();
        var other = first with { RunId = Guid.NewGuid() };
        other = difference switch
        {
            "cache off" => other with { Cache = false },
            "tenant" => other with { Tenant = "another" },
            "model" => other with { Model = Runs.Artifact("another model", ArtifactKinds.Onnx) },
            "version" => other with { Steps = [other.Steps[0] with { Version = "2" }] },
            "option" => other.With(1, """{"a":1,"b":[3]}"""),
            "seed" => other with { Seed = 2 },
            "option and seed" => other.With(1, """{"a":1,"b":[2],"c":null}""") with { Seed = 3 },
            "transformer" => other.Step(1, s => s with { Uses = "compiler/quantize" }),
            "dataset" => other with { Datasets = [new DatasetRef { Name = "d", Artifact = Runs.Artifact("two", ArtifactKinds.Dataset) }] },
            _ => other with { Datasets = [new DatasetRef { Name = "d", Site = "factory-1", Path = "/data" }] },
        };

        await host.SubmitAsync(other);

        var step = (await host.ReadAsync(other.RunId)).Steps.Single();
        Assert.False(step.Cached);
        Assert.Contains(step.State, new[] { StepStates.Pending, StepStates.Offered });
        Assert.Equal(why, string.Join(' ', [step.CacheMiss!.Reason, .. step.CacheMiss.Changed]));
    }

    [Fact]
    public async Task Names_labels_and_the_order_of_options_make_no_difference()
    {
        await using var host = await StartAsync();
        var first = Cached(Runs.Of("compiler/fuse").With(1, """{"a":1,"b":{"c":2,"d":3}}"""));
        await host.SubmitAsync(first);
        await host.ToEndAsync();
        var other = first.With(1, """{ "b": { "d": 3, "c": 2 }, "a": 1 }""") with
        {
            RunId = Guid.NewGuid(),
            ModelName = "another-name",
            Labels = new Dictionary<string, string> { ["team"] = "x" },
            Priority = 5,
        };
        await host.SubmitAsync(other);
        Assert.True((await host.ReadAsync(other.RunId)).Steps.Single().Cached);
    }

    [Fact]
    public async Task A_package_of_a_model_of_another_name_is_made_again_because_it_names_it()
    {
        await using var host = await StartAsync();
        var first = Cached(Runs.Of("installer/bundle"));
        await host.SubmitAsync(first);
        await host.ToEndAsync("installer");
        var same = first with { RunId = Guid.NewGuid() };
        var renamed = first with { RunId = Guid.NewGuid(), ModelName = "another-name" };
        await host.SubmitAsync(same);
        await host.SubmitAsync(renamed);

        Assert.True((await host.ReadAsync(same.RunId)).Steps.Single().Cached);
        Assert.Equal(renamed.RunId, (await host.OfferAsync("installer")).RunId);
    }

    [Fact]
    public async Task A_step_is_held_against_the_entry_that_it_is_most_like()
    {
        await using var host = await StartAsync();
        foreach (var (seed, options) in new[] { (1, """{"a":1}"""), (2, """{"a":2}"""), (3, """{"a":3}""") })
        {
            await host.SubmitAsync(Cached(Runs.Of("compiler/fuse").With(1, options)) with { Seed = seed });
            await host.ToEndAsync();
        }
        var other = Cached(Runs.Of("compiler/fuse", "installer/bundle").With(1, """{"a":1}""")) with { Seed = 2 };
        await host.SubmitAsync(other);
        Assert.Equal("changed", (await host.GetAsync(other.RunId)).Steps[0].CacheMiss!.Reason);
        Assert.Single((await host.GetAsync(other.RunId)).Steps[0].CacheMiss!.Changed);
        await host.ToEndAsync();

        // The package is the first of its kind, and after another one it is of another history.
        Assert.Equal("nothing-alike", (await host.GetAsync(other.RunId)).Steps[1].CacheMiss!.Reason);
        await host.ToEndAsync("installer");
        var renamed = other with { RunId = Guid.NewGuid(), ModelName = "renamed" };
        await host.SubmitAsync(renamed);
        var shown = await host.GetAsync(renamed.RunId);
        Assert.Equal((true, null, "history"), (shown.Steps[0].Cached, shown.Steps[0].CacheMiss, Assert.Single(shown.Steps[1].CacheMiss!.Changed)));
    }

    [Fact]
    public async Task A_failure_is_never_cached()
    {
        await using var host = await StartAsync();
        var first = Cached(Runs.Of("compiler/fuse"));
        await host.SubmitAsync(first);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.FailAsync(offer, retryable: false);
        var again = first with { RunId = Guid.NewGuid() };
        await host.SubmitAsync(again);
        Assert.Equal(again.RunId, (await host.OfferAsync()).RunId);
    }

    private static SubmitRun Cached(SubmitRun run) => run with { Cache = true };

    private async Task<OrchestratorHost> StartAsync()
    {
        var host = await OrchestratorHost.StartAsync(_folder.Path);
        await host.AnnounceAsync("compiler", 2, "compiler/fuse", "compiler/quantize", "compiler/evaluate");
        await host.AnnounceAsync("installer", 2, "installer/bundle");
        return host;
    }
}
