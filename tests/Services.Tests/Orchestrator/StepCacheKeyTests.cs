using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Caching;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class StepCacheKeyTests
{
    private static readonly ArtifactRef Network = Runs.Artifact("net", ArtifactKinds.Onnx);

    private static readonly StepOffer Quantize = new()
    {
        Tenant = Tenants.Default,
        RunId = Guid.Empty,
        Step = 2,
        Attempt = 1,
        Fence = 1,
        Uses = "compiler/quantize",
        Version = "1",
        Input = Network,
        With = JsonElement.Parse("""{"bits":8}"""),
        Datasets = new Dictionary<string, DatasetRef> { ["calibrate"] = new() { Name = "d", Artifact = Runs.Artifact("data", ArtifactKinds.Dataset) } },
        Seed = 1,
        Recipe = new Recipe { ModelName = "model", Model = Runs.Artifact("original", ArtifactKinds.Onnx), Steps = [] },
        ExpiresAt = DateTimeOffset.MinValue,
    };

    private static readonly Dictionary<string, StepOffer> Others = new()
    {
        ["tenant"] = Quantize with { Tenant = "another" },
        ["input"] = Quantize with { Input = Network with { Digest = Runs.Artifact("another", ArtifactKinds.Onnx).Digest } },
        ["kind of the input"] = Quantize with { Input = Network with { Kind = ArtifactKinds.CSource } },
        ["transformer"] = Quantize with { Uses = "compiler/prune" },
        ["version"] = Quantize with { Version = "2" },
        ["seed"] = Quantize with { Seed = 2 },
        ["option"] = Quantize with { With = JsonElement.Parse("""{"bits":4}""") },
        ["order of a list"] = Quantize with { With = JsonElement.Parse("""{"bits":[1,2]}""") },
        ["order of a list, turned"] = Quantize with { With = JsonElement.Parse("""{"bits":[2,1]}""") },
        ["no options"] = Quantize with { With = null },
        ["role of the dataset"] = Quantize with { Datasets = Quantize.Datasets.ToDictionary(d => "evaluate", d => d.Value) },
        ["dataset"] = Quantize with { Datasets = new Dictionary<string, DatasetRef> { ["calibrate"] = new() { Name = "d", Artifact = Runs.Artifact("more", ArtifactKinds.Dataset) } } },
        ["no dataset"] = Quantize with { Datasets = new Dictionary<string, DatasetRef>() },
    };

    [Fact]
    public void Everything_that_the_result_depends_on_makes_another_key() =>
        Assert.Distinct(Others.Values.Append(Quantize).Select(StepCacheKey.Of));

    [Fact]
    public void What_it_does_not_depend_on_makes_none() => Assert.Single(new[]
    {
        Quantize,
        Quantize with { RunId = Guid.NewGuid(), Step = 3, Attempt = 2, Fence = 9, ExpiresAt = DateTimeOffset.MaxValue },
        Quantize with { Recipe = Quantize.Recipe with { ModelName = "another", Model = Network } },
        Quantize with { Input = Network with { Size = 99 } },
        Quantize with { Datasets = Quantize.Datasets.ToDictionary(d => d.Key, d => d.Value with { Name = "another" }) },
    }.Select(StepCacheKey.Of).Distinct());

    [Fact]
    public void A_measurement_depends_on_the_model_that_the_run_began_with_and_not_on_its_name()
    {
        var measured = Quantize with { Uses = "compiler/evaluate" };
        Assert.NotEqual(StepCacheKey.Of(measured), StepCacheKey.Of(measured with { Recipe = measured.Recipe with { Model = Network } }));
        Assert.Equal(StepCacheKey.Of(measured), StepCacheKey.Of(measured with { Recipe = measured.Recipe with { ModelName = "another" } }));
    }

    [Fact]
    public void A_package_depends_on_its_whole_history()
    {
        var packed = Quantize with { Uses = "installer/bundle" };
        Assert.NotEqual(StepCacheKey.Of(packed), StepCacheKey.Of(packed with { Recipe = packed.Recipe with { ModelName = "another" } }));
    }

    [Fact]
    public void A_dataset_that_stays_on_its_site_makes_the_result_uncacheable() =>
        Assert.Null(StepCacheKey.Of(Quantize with { Datasets = new Dictionary<string, DatasetRef> { ["calibrate"] = new() { Name = "d", Site = "factory", Path = "/data" } } }));
}
