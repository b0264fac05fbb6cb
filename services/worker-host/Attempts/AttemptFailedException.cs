using TinyMLaaS.Contracts;

namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>An attempt that ends for a reason that has a code of its own and is no matter of the user's model, options or data alone.</summary>
internal sealed class AttemptFailedException(Failure failure, string? details = null) : Exception(failure.Message)
{
    public Failure Failure { get; } = failure;

    /// <summary>More for the worker's own log; null when there is nothing more.</summary>
    public string? Details { get; } = details;
}
