using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>Keys of a tenant. The key itself is in the answer that makes it and never again. A key gives out only scopes that it has.</summary>
internal static class KeyEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/keys", CreateAsync).RequireScope(Scopes.KeysAdmin).Accepts<CreateKey>(RequestBody.AnyType)
            .Produces<KeyResource>(201).Produces<Problem>(400, Problems.MediaType).Produces<Problem>(403, Problems.MediaType);
        routes.MapGet("/v1/keys", ListAsync).RequireScope(Scopes.KeysAdmin).Produces<Page<KeyResource>>().Produces<Problem>(400, Problems.MediaType);
        routes.MapDelete("/v1/keys/{id:guid}", RevokeAsync).RequireScope(Scopes.KeysAdmin).Produces(204).Produces<Problem>(404, Problems.MediaType);
    }

    private static async Task<IResult> CreateAsync(HttpContext http, Caller caller, KeyRing keys, CancellationToken cancellation)
    {
        var body = await RequestBody.ReadAsync(http.Request, "invalid-request", "The request is wrong", cancellation);
        if (body.Refusal is { } refusal)
            return refusal;
        var fields = new RequestFields(body.Document);
        var name = fields.Text("name", required: true);
        var scopes = fields.TextList("scopes", required: true);
        var days = fields.Whole("days", 1, KeyRing.MostDays) ?? KeyRing.DefaultDays;
        var tenant = fields.Text("tenant", required: false) ?? caller.Tenant;
        fields.RefuseOthers();
        if (name is not null && !ResourceNames.IsName(name))
            fields.Refuse("/name", "invalid-name", $"'{Values.Shortened(name)}' is no name of a key. Expected {ResourceNames.Expected}.");
        if (!Tenants.IsName(tenant))
            fields.Refuse("/tenant", "invalid-name", $"'{Values.Shortened(tenant)}' is no name of a tenant. Expected {Tenants.Expected}.");
        if (scopes is { Count: 0 })
            fields.Refuse("/scopes", "missing-field", $"'scopes' is empty: the key would permit nothing. Expected some of {string.Join(", ", Scopes.All)}.");
        for (var i = 0; i < scopes?.Count; i++)
        {
            if (!Scopes.All.Contains(scopes[i]))
                fields.Refuse($"/scopes/{i}", "unknown-scope", $"There is no scope '{Values.Shortened(scopes[i])}'. Expected some of {string.Join(", ", Scopes.All)}.");
        }
        if (fields.Violations.Count > 0)
            return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", errors: fields.Violations);
        if (tenant != caller.Tenant && !caller.Has(Scopes.TenantsAdmin))
            return NotPermitted($"Keys of the tenant '{tenant}' are made with the scope {Scopes.TenantsAdmin}, which the key does not have.");
        if (scopes!.Where(s => !caller.Has(s)).ToArray() is { Length: > 0 } lacking)
            return NotPermitted($"A key gives out only scopes that it has itself. It lacks {string.Join(", ", lacking)}.");

        var (row, key, _) = await keys.CreateAsync(tenant, name!, Scopes.All.Where(s => scopes!.Contains(s)), days, cancellation);
        // Nobody on the way may keep it.
        http.Response.Headers.CacheControl = "no-store";
        return Results.Created($"/v1/keys/{row.Id}", row.ToResource(key));
    }

    private static async Task<IResult> ListAsync(HttpContext http, Caller caller, PipelineApiDbContext database, CancellationToken cancellation)
    {
        if (!PageRequest.TryRead(http.Request, out var page, out var refusal))
            return refusal!;
        if (!page.TryReadTimeKey(out var after))
            return PageRequest.InvalidToken();
        var query = database.Keys.AsNoTracking().Where(k => k.Tenant == caller.Tenant);
        if (after is { } key)
            query = query.Where(k => k.CreatedAt < key.At || (k.CreatedAt == key.At && k.Id.CompareTo(key.Id) < 0));
        var found = await query.OrderByDescending(k => k.CreatedAt).ThenByDescending(k => k.Id).Take(page.Size + 1).ToListAsync(cancellation);
        return page.Answer(http, found, k => k.ToResource(), k => PageRequest.TimeKey(k.CreatedAt, k.Id));
    }

    private static async Task<IResult> RevokeAsync(Guid id, Caller caller, KeyRing keys, CancellationToken cancellation) =>
        await keys.RevokeAsync(id, caller.Has(Scopes.TenantsAdmin) ? null : caller.Tenant, cancellation)
            ? Results.NoContent()
            : Problems.Result(StatusCodes.Status404NotFound, "key-not-found", "There is no such key", $"There is no key {id}.");

    private static IResult NotPermitted(string detail) => Problems.Result(StatusCodes.Status403Forbidden, "scope-missing", "The key does not permit this", detail);
}
