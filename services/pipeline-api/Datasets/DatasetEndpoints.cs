using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Artifacts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Datasets;

/// <summary>Names for stored data. A run keeps the bytes that a name meant when it was accepted.</summary>
internal static class DatasetEndpoints
{
    private static readonly string[] OnSiteFields = ["site", "path"];

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/datasets", CreateAsync).RequireScope(Scopes.RunsWrite).Accepts<CreateDataset>(RequestBody.AnyType)
            .Produces<DatasetResource>(200).Produces<DatasetResource>(201)
            .Produces<Problem>(400, Problems.MediaType).Produces<Problem>(409, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        routes.MapGet("/v1/datasets", ListAsync).RequireScope(Scopes.RunsRead).Produces<Page<DatasetResource>>().Produces<Problem>(400, Problems.MediaType);
        routes.MapGet("/v1/datasets/{name}", GetAsync).RequireScope(Scopes.RunsRead).Produces<DatasetResource>().Produces<Problem>(404, Problems.MediaType);
        routes.MapDelete("/v1/datasets/{name}", DeleteAsync).RequireScope(Scopes.RunsWrite).Produces(204).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
    }

    private static async Task<IResult> CreateAsync(
        HttpRequest request, Caller caller, PipelineApiDbContext database, ArtifactStoreUpstream store, TimeProvider time, CancellationToken cancellation)
    {
        var body = await RequestBody.ReadAsync(request, "invalid-request", "The request is wrong", cancellation);
        if (body.Refusal is { } refusal)
            return refusal;
        var fields = new RequestFields(body.Document);
        var name = fields.Text("name", required: true);
        var onSite = OnSiteFields.Where(field => fields.Any(field, required: false) is not null).ToArray();
        foreach (var field in onSite)
        {
            fields.Refuse(Pointers.Of(field), "not-yet-available",
                $"'{field}' names data that stays on its site, which is not available yet. Store the data with POST /v1/artifacts?kind=dataset and give its digest as 'artifact'.");
        }
        var digest = fields.Text("artifact", required: onSite.Length == 0);
        fields.RefuseOthers();
        if (name is not null && !ResourceNames.IsName(name))
            fields.Refuse("/name", "invalid-name", $"'{Values.Shortened(name)}' is no name of a dataset. Expected {ResourceNames.Expected}.");
        ArtifactRef? artifact = null;
        if (digest is not null)
        {
            (artifact, var violation) = await store.ResolveAsync(caller.Tenant, digest, ArtifactKinds.Dataset, "/artifact", cancellation);
            if (violation is not null)
                fields.Violations.Add(violation);
        }
        if (fields.Violations.Count > 0)
            return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", errors: fields.Violations);

        if (await FindAsync(database, caller.Tenant, name!, cancellation) is not { } existing)
        {
            var row = new DatasetRow { Tenant = caller.Tenant, Name = name!, Digest = artifact!.Digest, Size = artifact.Size, CreatedAt = time.GetUtcNow() };
            database.Datasets.Add(row);
            try
            {
                await database.SaveChangesAsync(cancellation);
                return Results.Created($"/v1/datasets/{row.Name}", row.ToResource());
            }
            catch (DbUpdateException)
            {
                // Somebody else took the name meanwhile, or the database is at fault and this throws again.
                database.ChangeTracker.Clear();
                if (await FindAsync(database, caller.Tenant, name!, cancellation) is not { } winner)
                    throw;
                existing = winner;
            }
        }
        return existing.Digest == artifact!.Digest
            ? Results.Json(existing.ToResource(), ContractJson.Options)
            : Problems.Result(StatusCodes.Status409Conflict, "dataset-exists", "The name is taken",
                $"The dataset '{name}' is {existing.Digest} already. Delete it first, take another name, or give the artifact in the run's own datasets.");
    }

    private static async Task<IResult> ListAsync(HttpContext http, Caller caller, PipelineApiDbContext database, CancellationToken cancellation)
    {
        if (!PageRequest.TryRead(http.Request, out var page, out var refusal))
            return refusal!;
        var found = await database.Datasets.AsNoTracking()
            .Where(d => d.Tenant == caller.Tenant && (page.After == null || string.Compare(d.Name, page.After) > 0))
            .OrderBy(d => d.Name).Take(page.Size + 1).ToListAsync(cancellation);
        return page.Answer(http, found, d => d.ToResource(), d => d.Name);
    }

    private static async Task<IResult> GetAsync(string name, Caller caller, PipelineApiDbContext database, CancellationToken cancellation) =>
        await FindAsync(database, caller.Tenant, name, cancellation) is { } dataset ? Results.Json(dataset.ToResource(), ContractJson.Options) : NotFound(name);

    // The bytes stay: runs that were accepted use them.
    private static async Task<IResult> DeleteAsync(string name, Caller caller, PipelineApiDbContext database, ArtifactStoreUpstream store, CancellationToken cancellation)
    {
        if (await FindAsync(database, caller.Tenant, name, cancellation) is not { } dataset)
            return NotFound(name);
        // A run that is just being accepted may have read the name: until it refers to the bytes itself, this use keeps them from being collected as garbage.
        await store.UseAsync(caller.Tenant, dataset.Digest, cancellation);
        return await database.Datasets.Where(d => d.Tenant == caller.Tenant && d.Name == name).ExecuteDeleteAsync(cancellation) == 1 ? Results.NoContent() : NotFound(name);
    }

    private static Task<DatasetRow?> FindAsync(PipelineApiDbContext database, string tenant, string name, CancellationToken cancellation) =>
        database.Datasets.AsNoTracking().SingleOrDefaultAsync(d => d.Tenant == tenant && d.Name == name, cancellation);

    private static IResult NotFound(string name) => Problems.Result(
        StatusCodes.Status404NotFound, "dataset-not-found", "There is no such dataset", $"There is no dataset '{Values.Shortened(name)}'.");
}
