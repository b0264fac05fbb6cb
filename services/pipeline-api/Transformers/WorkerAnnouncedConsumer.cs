using System.Text.Json;
using MassTransit;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.PipelineApi.Storage;

namespace TinyMLaaS.PipelineApi.Transformers;

/// <summary>Notes who is there, and makes what they offer the catalogue: the last announcement of a worker kind says all that it offers.</summary>
internal sealed class WorkerAnnouncedConsumer(WorkerPresence presence, PipelineApiDbContext database, TimeProvider time) : IConsumer<WorkerAnnounced>
{
    private static readonly TimeSpan LastSeenPrecision = TimeSpan.FromSeconds(10);

    public async Task Consume(ConsumeContext<WorkerAnnounced> context)
    {
        var announced = context.Message;
        if (!announced.Leaving)
            await CatalogueAsync(announced, context.CancellationToken);
        // After the rows: who finds a worker present finds its transformers too.
        presence.Note(announced);
    }

    private async Task CatalogueAsync(WorkerAnnounced announced, CancellationToken cancellation)
    {
        var now = time.GetUtcNow();
        var rows = await database.Transformers.Where(t => t.Worker == announced.Worker).ToDictionaryAsync(t => t.Name, cancellation);
        foreach (var transformer in announced.Transformers.Where(t => t.Name.StartsWith(announced.Worker + "/", StringComparison.Ordinal)))
        {
            var descriptor = JsonSerializer.Serialize(transformer, ContractJson.Options);
            if (!rows.Remove(transformer.Name, out var row))
            {
                database.Transformers.Add(new TransformerRow { Name = transformer.Name, Worker = announced.Worker, Descriptor = descriptor, LastSeen = now });
                continue;
            }
            row.Descriptor = descriptor;
            if (now - row.LastSeen >= LastSeenPrecision)
                row.LastSeen = now;
        }
        database.Transformers.RemoveRange(rows.Values);
        await database.SaveChangesAsync(cancellation);
    }
}
