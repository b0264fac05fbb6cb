using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>Runs to submit.</summary>
internal static class Runs
{
    public static ArtifactRef Artifact(string content, string kind) => new()
    {
        Digest = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(content))),
        Size = content.Length,
        Kind = kind,
    };

    /// <summary>A run of these transformers, each of version 1.</summary>
    public static SubmitRun Of(params string[] uses) => new()
    {
        Tenant = Tenants.Default,
        RunId = Guid.NewGuid(),
        Model = Artifact("the model", ArtifactKinds.Onnx),
        ModelName = "model",
        Pipeline = new PipelineDocument { Name = "pipeline", Steps = [.. uses.Select(u => new PipelineStep { Uses = u })] },
        Steps = [.. uses.Select(u => new ResolvedStep
        {
            Version = "1",
            Worker = u[..u.IndexOf('/')],
            Produces = u.StartsWith("installer/", StringComparison.Ordinal) ? ArtifactKinds.Bundle : ArtifactKinds.Onnx,
        })],
        Datasets = [],
        Priority = 0,
        Cache = false,
        Seed = 1,
        AcceptedAt = new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero),
    };

    /// <summary>The same with an evaluation by top-1.</summary>
    public static SubmitRun Evaluated(this SubmitRun run) => run with
    {
        Pipeline = run.Pipeline with { Evaluate = new PipelineEvaluation { Dataset = "test", Metric = "top1" } },
        Datasets = [new DatasetRef { Name = "test", Artifact = Artifact("test set", ArtifactKinds.Dataset) }],
    };

    /// <summary>The same with options for one step.</summary>
    public static SubmitRun With(this SubmitRun run, int step, string options) => run.Step(step, s => s with { With = JsonElement.Parse(options) });

    /// <summary>The same with one step of the document changed.</summary>
    public static SubmitRun Step(this SubmitRun run, int step, Func<PipelineStep, PipelineStep> change) => run with
    {
        Pipeline = run.Pipeline with { Steps = [.. run.Pipeline.Steps.Select((s, i) => i == step - 1 ? change(s) : s)] },
    };
}
