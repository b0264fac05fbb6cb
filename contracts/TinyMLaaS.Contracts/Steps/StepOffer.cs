using System.Text.Json;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;

namespace TinyMLaaS.Contracts.Steps;

/// <summary>Command to a pool's queue: one attempt waits to be claimed.</summary>
public sealed record StepOffer
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Position in the run: 1..n are the pipeline's steps, n+1+k is the evaluation of the network after step k (k = 0: the input).</summary>
    public required int Step { get; init; }

    /// <summary>Counts the tries at this step from 1.</summary>
    public required int Attempt { get; init; }

    /// <summary>Strictly increases with each attempt; a message with an older fence changes nothing.</summary>
    public required long Fence { get; init; }

    /// <summary>The transformer, <c>&lt;worker&gt;/&lt;name&gt;</c>.</summary>
    public required string Uses { get; init; }

    /// <summary>The version the run was accepted with; a worker of another version refuses.</summary>
    public required string Version { get; init; }

    /// <summary>What is transformed.</summary>
    public required ArtifactRef Input { get; init; }

    /// <summary>Options by name; absent means all defaults.</summary>
    public JsonElement? With { get; init; }

    /// <summary>Datasets by role.</summary>
    public IReadOnlyDictionary<string, DatasetRef> Datasets { get; init; } = new Dictionary<string, DatasetRef>();

    /// <summary>Seed of every random choice.</summary>
    public required int Seed { get; init; }

    /// <summary>The run's input and what was done to it so far.</summary>
    public required Recipe Recipe { get; init; }

    /// <summary>The traceparent (W3C Trace Context) of the run's request: whatever carries the offer here, the attempt belongs to that trace. Absent when it was not traced.</summary>
    public string? TraceParent { get; init; }

    /// <summary>An offer that is not claimed within this is withdrawn: the same as <see cref="ExpiresAt"/> for who has another clock.</summary>
    public TimeSpan? ClaimWithin { get; init; }

    /// <summary>An offer that is not claimed by then is withdrawn.</summary>
    public required DateTimeOffset ExpiresAt { get; init; }
}
