using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>
/// The artifact-store as one attempt sees it: one that cannot be reached is waited for, since what the attempt has done so far is worth more than a while. Files are
/// named by their digest, so a transfer that broke off is made again from its beginning. What the store refuses stays refused.
/// </summary>
/// <param name="store">The store.</param>
/// <param name="tenant">Whose files.</param>
/// <param name="patience">How long one transfer waits for the store.</param>
/// <param name="progress">Is told that the attempt waits.</param>
/// <param name="time">The clock.</param>
internal sealed class PatientStore(ArtifactStoreClient store, string tenant, TimeSpan patience, IProgress<TransformProgress> progress, TimeProvider time)
{
    /// <summary>Code of the failure of an attempt that has waited in vain.</summary>
    public const string Unreachable = "artifact-store-unreachable";

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(0.25);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    /// <summary>Copies an artifact to a new file.</summary>
    public Task GetFileAsync(ArtifactRef artifact, string path, CancellationToken cancellation) => TransferAsync(
        $"fetch {artifact.Digest}",
        async () =>
        {
            await store.GetFileAsync(tenant, artifact, path, cancellation);
            return artifact;
        },
        cancellation);

    /// <summary>Stores a file.</summary>
    public Task<ArtifactRef> PutFileAsync(string kind, string path, CancellationToken cancellation) =>
        TransferAsync($"store the {kind}", () => store.PutFileAsync(tenant, kind, path, cancellation), cancellation);

    /// <summary>Stores bytes.</summary>
    public Task<ArtifactRef> PutAsync(string kind, byte[] content, CancellationToken cancellation) => TransferAsync(
        $"store the {kind}",
        async () =>
        {
            using var stream = new MemoryStream(content);
            return await store.PutAsync(tenant, kind, stream, cancellation);
        },
        cancellation);

    private async Task<ArtifactRef> TransferAsync(string attempted, Func<Task<ArtifactRef>> transfer, CancellationToken cancellation)
    {
        long? since = null;
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                var artifact = await transfer();
                if (since is not null)
                    Tell("the artifact-store answers again");
                return artifact;
            }
            catch (HttpRequestException error)
            {
                cancellation.ThrowIfCancellationRequested();
                since ??= time.GetTimestamp();
                if (time.GetElapsedTime(since.Value) + pause > patience)
                {
                    throw new AttemptFailedException(new Failure
                    {
                        Code = Unreachable,
                        Message = $"Cannot {attempted}: the artifact-store could not be reached, which was waited for as long as {patience.TotalSeconds:0.#} s. See that it runs. {FailureMessage.Of(error)}",
                        Retryable = true,
                    }, error.ToString());
                }
                Tell($"waiting for the artifact-store, which cannot be reached: {FailureMessage.Of(error)}");
            }
            await Task.Delay(pause, time, cancellation);
        }
    }

    // Not a number: how far the attempt is does not change.
    private void Tell(string activity) => progress.Report(new TransformProgress(double.NaN, activity));
}
