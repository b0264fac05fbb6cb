using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>A run that was answered 202: from then on it is this row that makes sure the orchestrator gets it.</summary>
internal sealed class AcceptedRunRow
{
    public required Guid RunId { get; init; }

    public required string Tenant { get; init; }

    /// <summary>The complete <see cref="SubmitRun"/> as JSON.</summary>
    public required string Submission { get; set; }

    /// <summary>True once the orchestrator has been seen to know the run.</summary>
    public bool HandedOver { get; set; }

    public required DateTimeOffset AcceptedAt { get; init; }

    /// <summary>Of the message that is to arrive: a cancelled run's is another one, which must not be taken for a repetition.</summary>
    public static Guid MessageOf(SubmitRun run)
    {
        if (!run.Cancelled)
            return run.RunId;
        var bytes = run.RunId.ToByteArray();
        bytes[^1] ^= 0xff;
        return new Guid(bytes);
    }

    public SubmitRun Read() => JsonSerializer.Deserialize<SubmitRun>(Submission, ContractJson.Options)!;

    internal sealed class Configuration : IEntityTypeConfiguration<AcceptedRunRow>
    {
        public void Configure(EntityTypeBuilder<AcceptedRunRow> builder)
        {
            builder.ToTable("accepted_runs");
            builder.HasKey(r => r.RunId);
            builder.HasIndex(r => new { r.HandedOver, r.AcceptedAt });
        }
    }
}
