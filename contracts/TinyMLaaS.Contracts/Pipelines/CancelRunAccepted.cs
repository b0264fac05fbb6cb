namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>The cancellation is recorded; <see cref="State"/> is the run's state afterwards.</summary>
public sealed record CancelRunAccepted
{
    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary><c>cancelling</c>, or the terminal state that the run had reached before.</summary>
    public required string State { get; init; }
}
