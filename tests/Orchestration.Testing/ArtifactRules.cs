using System.Security.Cryptography;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Orchestrator.Caching;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestration.Testing;

/// <summary>I6: what the rows refer to exists under the tenant's name, has the size they say and hashes to its digest.</summary>
internal static class ArtifactRules
{
    public static async Task<IReadOnlyList<InvariantViolation>> CheckAsync(
        IReadOnlyList<PipelineRun> runs, IReadOnlyList<StepCacheEntry> cache, Func<string, string, CancellationToken, Task<Stream?>> open, CancellationToken cancellation)
    {
        var found = new Dictionary<(string Tenant, string Digest), (string Digest, long Size)?>();
        var violations = new List<InvariantViolation>();
        foreach (var run in runs)
        {
            foreach (var (step, what, artifact) in References(run))
            {
                if (await WhyNotAsync(run.Tenant, artifact) is { } why)
                    violations.Add(new InvariantViolation(Invariants.ArtifactsAreThere, $"{what} {artifact.Digest} {why}") { Run = run.CorrelationId, Step = step });
            }
        }
        foreach (var entry in cache)
        {
            foreach (var artifact in entry.Outputs.Append(entry.Report))
            {
                if (await WhyNotAsync(entry.Tenant, artifact) is { } why)
                    violations.Add(new InvariantViolation(Invariants.ArtifactsAreThere, $"entry {entry.Key} of the step cache: {artifact.Digest} {why}"));
            }
        }
        return violations;

        async Task<string?> WhyNotAsync(string tenant, ArtifactRef artifact)
        {
            if (!found.TryGetValue((tenant, artifact.Digest), out var content))
                found[(tenant, artifact.Digest)] = content = await ReadAsync(tenant, artifact.Digest);
            return content switch
            {
                null => $"is not in the store of {tenant}",
                { } other when other.Digest != artifact.Digest => $"hashes to {other.Digest}",
                { } other when other.Size != artifact.Size => $"has {other.Size} bytes, not {artifact.Size}",
                _ => null,
            };
        }

        async Task<(string Digest, long Size)?> ReadAsync(string tenant, string digest)
        {
            var content = await open(tenant, digest, cancellation);
            if (content is null)
                return null;
            await using (content)
            {
                using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
                var buffer = new byte[64 * 1024];
                var size = 0L;
                for (int read; (read = await content.ReadAsync(buffer, cancellation)) > 0; size += read)
                    hash.AppendData(buffer, 0, read);
                return (Digests.FromHash(hash.GetHashAndReset()), size);
            }
        }
    }

    private static IEnumerable<(int? Step, string What, ArtifactRef Artifact)> References(PipelineRun run)
    {
        yield return (null, "the model", run.Submission.Model);
        foreach (var dataset in run.Submission.Datasets)
        {
            if (dataset.Artifact is { } artifact)
                yield return (null, $"dataset {dataset.Name}", artifact);
        }
        foreach (var step in run.Steps.OrderBy(s => s.Position))
        {
            foreach (var output in step.Outputs)
                yield return (step.Position, "output", output);
            if (step.Report is { } report)
                yield return (step.Position, "report", report);
        }
    }
}
