using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Pipelines;

/// <summary>
/// Named pipeline documents, JSON or YAML. What is stored is right in itself; whether its datasets exist is asked when it runs, because
/// a run may bring its own.
/// </summary>
internal static class PipelineEndpoints
{
    /// <summary>The problem of every refused document.</summary>
    public const string ProblemCode = "invalid-pipeline";

    private const string ProblemTitle = "The pipeline cannot run";

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/pipelines", CreateAsync).RequireScope(Scopes.RunsWrite).Accepts<PipelineDocument>(RequestBody.AnyType)
            .Produces<PipelineResource>(200).Produces<PipelineResource>(201).Produces<Problem>(400, Problems.MediaType).Produces<Problem>(409, Problems.MediaType);
        routes.MapGet("/v1/pipelines", ListAsync).RequireScope(Scopes.RunsRead).Produces<Page<PipelineResource>>().Produces<Problem>(400, Problems.MediaType);
        routes.MapGet("/v1/pipelines/{name}", GetAsync).RequireScope(Scopes.RunsRead).Produces<PipelineResource>().Produces<Problem>(404, Problems.MediaType);
        routes.MapPut("/v1/pipelines/{name}", ReplaceAsync).RequireScope(Scopes.RunsWrite).Accepts<PipelineDocument>(RequestBody.AnyType)
            .Produces<PipelineResource>(200).Produces<PipelineResource>(201).Produces<Problem>(400, Problems.MediaType);
        routes.MapDelete("/v1/pipelines/{name}", DeleteAsync).RequireScope(Scopes.RunsWrite).Produces(204).Produces<Problem>(404, Problems.MediaType);
        routes.MapPost("/v1/pipelines/validate", ValidateAsync).RequireScope(Scopes.RunsRead).Accepts<PipelineDocument>(RequestBody.AnyType)
            .Produces<PipelineValidation>().Produces<Problem>(400, Problems.MediaType);
    }

    /// <summary>The answer to a document that cannot run.</summary>
    public static IResult Refuse(IReadOnlyList<Violation> violations) => Problems.Result(
        StatusCodes.Status400BadRequest, ProblemCode, ProblemTitle,
        $"{(violations.Count == 1 ? "One thing is" : $"{violations.Count} things are")} wrong; nothing was stored. {violations[0].Message}", violations);

    /// <summary>Checks a document as a run of it on a network would be; <c>?dataset=NAME</c>, repeated, names datasets that the run will bring along.</summary>
    private static async Task<IResult> ValidateAsync(HttpRequest request, Caller caller, PipelineApiDbContext database, PipelineValidator validator, CancellationToken cancellation)
    {
        var body = await RequestBody.ReadAsync(request, ProblemCode, ProblemTitle, cancellation);
        if (body.Refusal is { } refusal)
            return refusal;
        var catalogue = await database.ReadCatalogueAsync(cancellation);
        var brought = request.Query["dataset"].OfType<string>().ToHashSet(StringComparer.Ordinal);
        var registered = await database.ResolveDatasetsAsync(caller.Tenant, DatasetNames.In(body.Document), cancellation);
        var violations = validator.Validate(body.Document, catalogue, ArtifactKinds.Onnx, name => brought.Contains(name) || registered.ContainsKey(name));
        if (violations.Count > 0)
            return Refuse(violations);
        return Results.Json(new PipelineValidation { Steps = catalogue.Resolve(Read(body.Document!)) }, ContractJson.Options);
    }

    private static async Task<IResult> CreateAsync(HttpRequest request, Caller caller, PipelineApiDbContext database, PipelineValidator validator, TimeProvider time, CancellationToken cancellation)
    {
        var (document, refusal) = await ReadValidAsync(request, name: null, database, validator, cancellation);
        if (refusal is not null)
            return refusal;
        var name = document!["name"]!.GetValue<string>();
        var text = document.ToJsonString();
        if (await FindAsync(database, caller.Tenant, name, cancellation) is not { } existing)
            return await AddAsync(database, caller.Tenant, name, text, time.GetUtcNow(), cancellation);
        return existing.Document == text
            ? Results.Json(existing.ToResource(), ContractJson.Options)
            : Problems.Result(StatusCodes.Status409Conflict, "pipeline-exists", "The name is taken", $"There is another pipeline '{name}'. Replace it with PUT /v1/pipelines/{name}, or take another name.");
    }

    private static async Task<IResult> ReplaceAsync(
        string name, HttpRequest request, Caller caller, PipelineApiDbContext database, PipelineValidator validator, TimeProvider time, CancellationToken cancellation)
    {
        var (document, refusal) = await ReadValidAsync(request, name, database, validator, cancellation);
        if (refusal is not null)
            return refusal;
        var text = document!.ToJsonString();
        if (await FindAsync(database, caller.Tenant, name, cancellation) is not { } existing)
            return await AddAsync(database, caller.Tenant, name, text, time.GetUtcNow(), cancellation);
        if (existing.Document != text)
        {
            existing.Document = text;
            existing.UpdatedAt = time.GetUtcNow();
            await database.SaveChangesAsync(cancellation);
        }
        return Results.Json(existing.ToResource(), ContractJson.Options);
    }

    private static async Task<IResult> AddAsync(PipelineApiDbContext database, string tenant, string name, string text, DateTimeOffset now, CancellationToken cancellation)
    {
        var row = new PipelineRow { Tenant = tenant, Name = name, Document = text, CreatedAt = now, UpdatedAt = now };
        database.Pipelines.Add(row);
        await database.SaveChangesAsync(cancellation);
        return Results.Created($"/v1/pipelines/{name}", row.ToResource());
    }

    private static async Task<(JsonNode? Document, IResult? Refusal)> ReadValidAsync(
        HttpRequest request, string? name, PipelineApiDbContext database, PipelineValidator validator, CancellationToken cancellation)
    {
        var body = await RequestBody.ReadAsync(request, ProblemCode, ProblemTitle, cancellation);
        if (body.Refusal is { } refusal)
            return (null, refusal);
        var violations = new List<Violation>();
        if (body.Document is JsonObject document)
        {
            if (name is not null && !document.ContainsKey("name"))
                document.Insert(0, "name", name);
            if (!document.ContainsKey("name"))
                violations.Add(new Violation { Field = "/name", Code = "missing-field", Message = "'name' is missing; a pipeline is stored under it." });
            else if (name is not null && document["name"] is JsonValue given && given.GetValueKind() == JsonValueKind.String && given.GetValue<string>() != name)
                violations.Add(new Violation { Field = "/name", Code = "other-name", Message = $"The document is named '{Values.Shortened(given.GetValue<string>())}', but it is to be stored as '{Values.Shortened(name)}'." });
        }
        violations.AddRange(validator.Validate(body.Document, await database.ReadCatalogueAsync(cancellation), ArtifactKinds.Onnx, _ => true));
        return violations.Count == 0 ? (body.Document, null) : (null, Refuse(violations));
    }

    private static async Task<IResult> ListAsync(HttpContext http, Caller caller, PipelineApiDbContext database, CancellationToken cancellation)
    {
        if (!PageRequest.TryRead(http.Request, out var page, out var refusal))
            return refusal!;
        var found = await database.Pipelines.AsNoTracking()
            .Where(p => p.Tenant == caller.Tenant && (page.After == null || string.Compare(p.Name, page.After) > 0))
            .OrderBy(p => p.Name).Take(page.Size + 1).ToListAsync(cancellation);
        return page.Answer(http, found, p => p.ToResource(), p => p.Name);
    }

    private static async Task<IResult> GetAsync(string name, Caller caller, PipelineApiDbContext database, CancellationToken cancellation) =>
        await FindAsync(database, caller.Tenant, name, cancellation) is { } pipeline ? Results.Json(pipeline.ToResource(), ContractJson.Options) : NotFound(name);

    private static async Task<IResult> DeleteAsync(string name, Caller caller, PipelineApiDbContext database, CancellationToken cancellation) =>
        await database.Pipelines.Where(p => p.Tenant == caller.Tenant && p.Name == name).ExecuteDeleteAsync(cancellation) == 1 ? Results.NoContent() : NotFound(name);

    private static Task<PipelineRow?> FindAsync(PipelineApiDbContext database, string tenant, string name, CancellationToken cancellation) =>
        database.Pipelines.SingleOrDefaultAsync(p => p.Tenant == tenant && p.Name == name, cancellation);

    private static PipelineDocument Read(JsonNode document) => document.Deserialize<PipelineDocument>(ContractJson.Options)!;

    private static IResult NotFound(string name) => Problems.Result(
        StatusCodes.Status404NotFound, "pipeline-not-found", "There is no such pipeline", $"There is no pipeline '{Values.Shortened(name)}'.");
}
