using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Transformers;

/// <summary>The catalogue: what a pipeline may use. It stays when its workers go; <c>instances</c> says how many offer it now.</summary>
internal static class TransformerEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/transformers", ListAsync).RequireScope(Scopes.RunsRead).Produces<Page<TransformerResource>>().Produces<Problem>(400, Problems.MediaType);
        routes.MapGet("/v1/transformers/{worker}/{name}", GetAsync).RequireScope(Scopes.RunsRead).Produces<TransformerResource>().Produces<Problem>(404, Problems.MediaType);
    }

    private static async Task<IResult> ListAsync(HttpContext http, PipelineApiDbContext database, WorkerPresence presence, CancellationToken cancellation)
    {
        if (!PageRequest.TryRead(http.Request, out var page, out var refusal))
            return refusal!;
        // A few dozen at most, and whether one is listed is said inside its descriptor.
        var listed = (await ReadAsync(database, presence, cancellation))
            .Where(t => page.After is null || string.CompareOrdinal(t.Descriptor.Name, page.After) > 0)
            .Take(page.Size + 1)
            .ToArray();
        return page.Answer(http, listed, t => t, t => t.Descriptor.Name);
    }

    private static async Task<IResult> GetAsync(string worker, string name, PipelineApiDbContext database, WorkerPresence presence, CancellationToken cancellation)
    {
        var listed = (await ReadAsync(database, presence, cancellation)).ToArray();
        return listed.SingleOrDefault(t => t.Descriptor.Name == $"{worker}/{name}") is { } found
            ? Results.Json(found, ContractJson.Options)
            : Problems.Result(StatusCodes.Status404NotFound, "transformer-not-found", "There is no such transformer",
                $"There is no transformer '{Values.Shortened($"{worker}/{name}")}'. {(listed.Length == 0 ? "No worker has announced any yet." : $"Expected one of {string.Join(", ", listed.Select(t => t.Descriptor.Name))}.")}");
    }

    private static async Task<IEnumerable<TransformerResource>> ReadAsync(PipelineApiDbContext database, WorkerPresence presence, CancellationToken cancellation) =>
        (await database.Transformers.AsNoTracking().ToListAsync(cancellation))
            .Select(row => new TransformerResource { Descriptor = row.Read(), LastSeen = row.LastSeen, Instances = presence.InstancesWith(row.Name) })
            .Where(t => t.Descriptor.Listed)
            .OrderBy(t => t.Descriptor.Name, StringComparer.Ordinal);
}
