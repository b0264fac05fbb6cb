using System.Buffers.Binary;
using System.Security.Cryptography;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>How long a step may take and when it is tried again: by its own words, else by its document's, else by the options.</summary>
internal sealed record StepPolicy
{
    /// <summary>How long it may wait for a worker.</summary>
    public required TimeSpan Queue { get; init; }

    /// <summary>How long one attempt may run.</summary>
    public required TimeSpan Attempt { get; init; }

    /// <summary>How long its worker may be silent.</summary>
    public required TimeSpan Lease { get; init; }

    public required TimeSpan HeartbeatEvery { get; init; }

    /// <summary>One of <see cref="LeaseLossPolicies"/>.</summary>
    public required string OnLeaseLost { get; init; }

    /// <summary>Attempts that count before the step fails.</summary>
    public required int Attempts { get; init; }

    /// <summary>The pause before the second attempt.</summary>
    public required TimeSpan Backoff { get; init; }

    public required TimeSpan LongestBackoff { get; init; }

    /// <summary>The part of a pause that may be left out, 0 to 1.</summary>
    public required double Jitter { get; init; }

    /// <summary>Codes after which it is not tried again.</summary>
    public required IReadOnlyCollection<string> NotOn { get; init; }

    public static StepPolicy Of(PipelineRun run, RunStep step, OrchestratorOptions options)
    {
        var document = run.Submission.Pipeline;
        var (own, all) = (step.IsEvaluation ? null : document.Steps[step.Position - 1], document.Timeouts);
        var heartbeat = Durations.Read(own?.Timeouts?.Heartbeat) ?? Durations.Read(all?.Heartbeat);
        var backoff = Durations.Read(own?.Retry?.Backoff) ?? TimeSpan.FromSeconds(options.RetrySeconds);
        return new StepPolicy
        {
            Queue = Durations.Read(own?.Timeouts?.Queue) ?? Durations.Read(all?.Queue) ?? TimeSpan.FromSeconds(options.QueueTimeoutSeconds),
            Attempt = Durations.Read(own?.Timeouts?.Attempt) ?? Durations.Read(all?.Attempt) ?? TimeSpan.FromSeconds(options.AttemptTimeoutSeconds),
            Lease = heartbeat ?? options.Lease,
            HeartbeatEvery = heartbeat / 3 is { } often && often < options.HeartbeatEvery ? often : options.HeartbeatEvery,
            OnLeaseLost = own?.OnLeaseLost ?? LeaseLossPolicies.Retry,
            Attempts = own?.Retry?.Attempts ?? options.MaxAttempts,
            Backoff = backoff,
            LongestBackoff = Longer(backoff, TimeSpan.FromSeconds(options.LongestRetrySeconds)),
            Jitter = options.RetryJitter,
            NotOn = [.. options.NotRetried, .. own?.Retry?.NotOn ?? []],
        };
    }

    /// <summary>How long a whole run may take.</summary>
    public static TimeSpan TotalOf(PipelineRun run, OrchestratorOptions options) =>
        Durations.Read(run.Submission.Pipeline.Timeouts?.Total) ?? TimeSpan.FromSeconds(options.TotalTimeoutSeconds);

    /// <summary>Whether a step that failed so is tried again.</summary>
    public bool Retries(RunStep step, string code) => step.Tries < Attempts && !NotOn.Contains(code);

    /// <summary>
    /// The pause after the attempt with this fence: doubles with each try up to the longest, less a part of at most <see cref="Jitter"/> that the run and the fence
    /// choose, so that it is the same in every repetition.
    /// </summary>
    public TimeSpan PauseAfter(RunStep step, long fence)
    {
        Span<byte> bytes = stackalloc byte[16 + sizeof(long)];
        step.RunId.TryWriteBytes(bytes);
        BinaryPrimitives.WriteInt64BigEndian(bytes[16..], fence);
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, hash);
        var share = BinaryPrimitives.ReadUInt32BigEndian(hash) / (double)uint.MaxValue;
        return Doubled(Backoff, step.Tries - 1, LongestBackoff) * (1 - Jitter * share);
    }

    /// <summary>A pause after so many doublings.</summary>
    public static TimeSpan Doubled(TimeSpan first, int doublings, TimeSpan longest)
    {
        var pause = first * Math.Pow(2, Math.Clamp(doublings, 0, 20));
        return pause < longest ? pause : longest;
    }

    private static TimeSpan Longer(TimeSpan one, TimeSpan other) => one > other ? one : other;
}
