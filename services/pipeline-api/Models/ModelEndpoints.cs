using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Models;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Artifacts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Models;

/// <summary>Names for networks. A model never changes: another network under a name is a newer model of that name.</summary>
internal static class ModelEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/models", CreateAsync).RequireScope(Scopes.RunsWrite).Accepts<CreateModel>(RequestBody.AnyType)
            .Produces<ModelResource>(200).Produces<ModelResource>(201).Produces<Problem>(400, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        routes.MapGet("/v1/models", ListAsync).RequireScope(Scopes.RunsRead).Produces<Page<ModelResource>>().Produces<Problem>(400, Problems.MediaType);
        routes.MapGet("/v1/models/{id:guid}", GetAsync).RequireScope(Scopes.RunsRead).Produces<ModelResource>().Produces<Problem>(404, Problems.MediaType);
    }

    private static async Task<IResult> CreateAsync(
        HttpRequest request, Caller caller, PipelineApiDbContext database, ArtifactStoreUpstream store, TimeProvider time, CancellationToken cancellation)
    {
        var body = await RequestBody.ReadAsync(request, "invalid-request", "The request is wrong", cancellation);
        if (body.Refusal is { } refusal)
            return refusal;
        var fields = new RequestFields(body.Document);
        var name = fields.Text("name", required: true);
        var digest = fields.Text("artifact", required: true);
        fields.RefuseOthers();
        if (name is not null && !ResourceNames.IsName(name))
            fields.Refuse("/name", "invalid-name", $"'{Values.Shortened(name)}' is no name of a model. Expected {ResourceNames.Expected}.");
        ArtifactRef? artifact = null;
        if (digest is not null)
        {
            (artifact, var violation) = await store.ResolveAsync(caller.Tenant, digest, ArtifactKinds.Onnx, "/artifact", cancellation);
            if (violation is not null)
                fields.Violations.Add(violation);
        }
        if (fields.Violations.Count > 0)
            return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", errors: fields.Violations);

        // Naming the newest model's network again changes nothing.
        var newest = await database.Models.AsNoTracking().Where(m => m.Tenant == caller.Tenant && m.Name == name)
            .OrderByDescending(m => m.CreatedAt).ThenByDescending(m => m.Id).FirstOrDefaultAsync(cancellation);
        if (newest?.Digest == artifact!.Digest)
            return Results.Json(newest.ToResource(), ContractJson.Options);
        var now = time.GetUtcNow();
        var row = new ModelRow { Id = Guid.CreateVersion7(now), Tenant = caller.Tenant, Name = name!, Digest = artifact.Digest, Size = artifact.Size, CreatedAt = now };
        database.Models.Add(row);
        await database.SaveChangesAsync(cancellation);
        return Results.Created($"/v1/models/{row.Id}", row.ToResource());
    }

    private static async Task<IResult> ListAsync(HttpContext http, Caller caller, PipelineApiDbContext database, CancellationToken cancellation)
    {
        if (!PageRequest.TryRead(http.Request, out var page, out var refusal))
            return refusal!;
        if (!page.TryReadTimeKey(out var after))
            return PageRequest.InvalidToken();
        var query = database.Models.AsNoTracking().Where(m => m.Tenant == caller.Tenant);
        if (after is { } key)
            query = query.Where(m => m.CreatedAt < key.At || (m.CreatedAt == key.At && m.Id.CompareTo(key.Id) < 0));
        var found = await query.OrderByDescending(m => m.CreatedAt).ThenByDescending(m => m.Id).Take(page.Size + 1).ToListAsync(cancellation);
        return page.Answer(http, found, m => m.ToResource(), m => PageRequest.TimeKey(m.CreatedAt, m.Id));
    }

    private static async Task<IResult> GetAsync(Guid id, Caller caller, PipelineApiDbContext database, CancellationToken cancellation) =>
        await database.Models.AsNoTracking().SingleOrDefaultAsync(m => m.Id == id && m.Tenant == caller.Tenant, cancellation) is { } model
            ? Results.Json(model.ToResource(), ContractJson.Options)
            : Problems.Result(StatusCodes.Status404NotFound, "model-not-found", "There is no such model", $"There is no model {id}.");
}
