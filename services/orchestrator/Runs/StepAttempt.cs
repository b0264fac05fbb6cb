using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>One try at a step, and the lease on it.</summary>
internal sealed class StepAttempt
{
    public Guid RunId { get; init; }

    public int Step { get; init; }

    /// <summary>Counts from 1 within the step.</summary>
    public required int Number { get; init; }

    /// <summary>Strictly increases within the run.</summary>
    public required long Fence { get; init; }

    /// <summary>One of <see cref="AttemptStates"/>.</summary>
    public required string State { get; set; }

    /// <summary>The instance that claimed it.</summary>
    public string? Worker { get; set; }

    public required DateTimeOffset OfferedAt { get; init; }

    /// <summary>When the offer, and after the claim the lease, runs out.</summary>
    public required DateTimeOffset DueAt { get; set; }

    /// <summary>When it has run too long; null when it does not run, or is being stopped.</summary>
    public DateTimeOffset? LimitAt { get; set; }

    public DateTimeOffset? StartedAt { get; set; }

    public DateTimeOffset? EndedAt { get; set; }

    public Failure? Failure { get; set; }

    /// <summary>True when it counts against the limit of attempts: it ran and did not succeed, and not because of us.</summary>
    public bool Counted { get; set; }

    /// <summary>Lines of its log that were taken so far, those included that were too many to keep.</summary>
    public int LogLines { get; set; }

    public bool IsActive => State is AttemptStates.Offered or AttemptStates.Running;
}

internal sealed class StepAttemptConfiguration : IEntityTypeConfiguration<StepAttempt>
{
    public void Configure(EntityTypeBuilder<StepAttempt> builder)
    {
        builder.ToTable("step_attempts");
        builder.HasKey(a => new { a.RunId, a.Step, a.Number });
        builder.Property(a => a.Number).ValueGeneratedNever();
        builder.HasIndex(a => new { a.RunId, a.Fence }).IsUnique();
        // The sweeper and the dispatcher ask for active attempts only, a small part of all.
        builder.HasIndex(a => new { a.State, a.DueAt });
        builder.HasIndex(a => a.LimitAt);
        builder.Property(a => a.Failure).HasJsonColumn();
        builder.Ignore(a => a.IsActive);
    }
}
