using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>A step of a run, or the evaluation of one of its networks.</summary>
internal sealed class RunStep
{
    public Guid RunId { get; init; }

    /// <summary>1..n are the document's steps, n+1+k is the evaluation of the network after step k.</summary>
    public required int Position { get; init; }

    /// <summary>The step whose output an evaluation measures, 0 for the run's input; null for a step of the document.</summary>
    public int? EvaluatesAfter { get; init; }

    public required string Uses { get; init; }

    /// <summary>The transformer's version; of an evaluation, known once it is offered.</summary>
    public string? Version { get; set; }

    /// <summary>The worker kind that runs it.</summary>
    public required string Worker { get; init; }

    public JsonElement? With { get; init; }

    public required IReadOnlyDictionary<string, DatasetRef> Datasets { get; init; }

    /// <summary>One of <see cref="StepStates"/>.</summary>
    public required string State { get; set; }

    public bool Cached { get; set; }

    /// <summary>Why it did not come from the cache; null when it did, and until that was looked at.</summary>
    public CacheMiss? CacheMiss { get; set; }

    /// <summary>Since when its input is there; null until then.</summary>
    public DateTimeOffset? ReadyAt { get; set; }

    /// <summary>Not offered before this: the pause before another attempt.</summary>
    public DateTimeOffset NotBefore { get; set; }

    /// <summary>When it has waited too long for a worker; null when it does not wait for one.</summary>
    public DateTimeOffset? QueueLimitAt { get; set; }

    /// <summary>Offers in a row that nobody claimed.</summary>
    public int Unclaimed { get; set; }

    /// <summary>Attempts at it before the run was last resumed; they do not count any more.</summary>
    public int AttemptsBefore { get; set; }

    /// <summary>Times that the process died while an attempt at it ran.</summary>
    public int Deaths { get; set; }

    public double Progress { get; set; }

    public string? Activity { get; set; }

    public DateTimeOffset? StartedAt { get; set; }

    public DateTimeOffset? EndedAt { get; set; }

    public IReadOnlyList<ArtifactRef> Outputs { get; set; } = [];

    public ArtifactRef? Report { get; set; }

    public IReadOnlyDictionary<string, double> Metrics { get; set; } = new Dictionary<string, double>();

    public Failure? Failure { get; set; }

    public int LogLines { get; set; }

    public int LogBytes { get; set; }

    public List<StepAttempt> Attempts { get; } = [];

    public bool IsEvaluation => EvaluatesAfter is not null;

    public bool IsTerminal => State is StepStates.Succeeded or StepStates.Failed or StepStates.Cancelled or StepStates.Skipped;

    /// <summary>Attempts that count against the limit.</summary>
    public int Tries => Attempts.Count(a => a.Counted && a.Number > AttemptsBefore);

    public StepAttempt? Active => Attempts.SingleOrDefault(a => a.IsActive);

    public void End(string state, DateTimeOffset now)
    {
        State = state;
        EndedAt = now;
        QueueLimitAt = null;
    }

    /// <summary>Is pending, not to be offered before the end of a pause.</summary>
    public void TryAgain(DateTimeOffset now, TimeSpan pause)
    {
        State = StepStates.Pending;
        StartedAt = null;
        NotBefore = now + pause;
        Progress = 0;
        Activity = null;
    }

    /// <summary>Is pending as if nothing had been tried, with the history kept.</summary>
    public void BeginAgain()
    {
        State = StepStates.Pending;
        ReadyAt = null;
        StartedAt = null;
        EndedAt = null;
        Failure = null;
        Progress = 0;
        Activity = null;
        Unclaimed = 0;
        Deaths = 0;
        CacheMiss = null;
        AttemptsBefore = Attempts.Count;
        // An evaluation takes the version that it finds.
        if (IsEvaluation)
            Version = null;
    }
}

internal sealed class RunStepConfiguration : IEntityTypeConfiguration<RunStep>
{
    public void Configure(EntityTypeBuilder<RunStep> builder)
    {
        builder.ToTable("run_steps");
        builder.HasKey(s => new { s.RunId, s.Position });
        builder.Property(s => s.Position).ValueGeneratedNever();
        // What the dispatcher asks for: pending steps whose input is there.
        builder.HasIndex(s => new { s.State, s.ReadyAt });
        builder.HasIndex(s => s.QueueLimitAt);
        builder.Property(s => s.With).HasJsonColumn();
        builder.Property(s => s.Datasets).HasJsonColumn();
        builder.Property(s => s.Outputs).HasJsonColumn();
        builder.Property(s => s.Report).HasJsonColumn();
        builder.Property(s => s.Metrics).HasJsonColumn();
        builder.Property(s => s.Failure).HasJsonColumn();
        builder.Property(s => s.CacheMiss).HasJsonColumn();
        builder.Ignore(s => s.IsEvaluation);
        builder.Ignore(s => s.IsTerminal);
        builder.Ignore(s => s.Active);
        builder.Ignore(s => s.Tries);
        builder.HasMany(s => s.Attempts).WithOne().HasForeignKey(a => new { a.RunId, a.Step }).OnDelete(DeleteBehavior.Cascade);
    }
}
