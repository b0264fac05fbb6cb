using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Persistence.Outbox;
using TinyMLaaS.PipelineApi.Artifacts;
using TinyMLaaS.PipelineApi.Pipelines;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>
/// <c>POST /v1/runs</c>. A request is refused with all that is wrong with it, or committed whole and answered 202; only then it is
/// handed over. Fields of the pipeline are named by their pointer in the document, fields of the request by theirs in the body.
/// </summary>
/// <remarks>
/// With an <c>Idempotency-Key</c> (draft-ietf-httpapi-idempotency-key-header) the answer of an accepted request is given again for
/// <see cref="KeysKept"/>; another body under the same key is 422, a second request while the first is being answered 409. A refused
/// request leaves no trace, so its key may be used again once the request is put right.
/// Codes of the request itself: <c>missing-field</c>, <c>unknown-field</c>, <c>wrong-type</c>, <c>out-of-range</c>, <c>unknown-model</c>,
/// <c>unknown-pipeline</c>, <c>unknown-step</c>, <c>unknown-artifact</c>, <c>wrong-kind</c>, <c>invalid-digest</c>, <c>invalid-name</c>,
/// <c>too-many-labels</c>, <c>too-many-datasets</c>, <c>unused-dataset</c>, <c>too-long</c>; those of the pipeline are <see cref="PipelineValidator"/>'s.
/// </remarks>
internal sealed class RunAcceptance(
    PipelineApiDbContext database, ArtifactStoreUpstream store, PipelineValidator validator, TransactionalOutbox<PipelineApiDbContext> outbox, HandOver handOver, RunKeysInFlight inFlight, TimeProvider time)
{
    /// <summary>How long an answer is given again.</summary>
    public static readonly TimeSpan KeysKept = TimeSpan.FromHours(24);

    private const int MaxKeyLength = 255;
    private const int MaxPriority = 100;
    private const int MaxLabels = 32;
    private const int MaxLabelLength = 200;
    private const int MaxDatasets = 64;

    public async Task<IResult> AcceptAsync(HttpRequest request, string tenant, CancellationToken cancellation)
    {
        var body = await RequestBody.ReadAsync(request, PipelineEndpoints.ProblemCode, "The run cannot be accepted", cancellation);
        if (body.Refusal is { } refusal)
            return refusal;
        if (!TryReadKey(request, out var key, out var wrongKey))
            return wrongKey;
        if (key is null)
            return await AcceptAsync(body, tenant, key: null, cancellation);
        if (!inFlight.TryEnter(tenant, key))
        {
            return Problems.Result(StatusCodes.Status409Conflict, "request-in-flight", "The same request is being answered",
                "A request with this Idempotency-Key is being answered now. Try again in a moment.");
        }
        try
        {
            if (await FindAsync(tenant, key, cancellation) is { } earlier)
                return Again(earlier, body);
            try
            {
                return await AcceptAsync(body, tenant, key, cancellation);
            }
            catch (DbUpdateException)
            {
                // Another process took the key meanwhile, or the database is at fault and this throws again.
                database.ChangeTracker.Clear();
                if (await FindAsync(tenant, key, cancellation) is not { } winner)
                    throw;
                return Again(winner, body);
            }
        }
        finally
        {
            inFlight.Leave(tenant, key);
        }
    }

    /// <summary>Reads the request's <c>Idempotency-Key</c>; null when it has none.</summary>
    public static bool TryReadKey(HttpRequest request, out string? key, [NotNullWhen(false)] out IResult? refusal)
    {
        key = null;
        refusal = null;
        if (!request.Headers.TryGetValue("Idempotency-Key", out var keys))
            return true;
        if (keys is [{ Length: > 0 and <= MaxKeyLength } given])
        {
            key = given;
            return true;
        }
        refusal = Problems.Result(StatusCodes.Status400BadRequest, "invalid-idempotency-key", "The Idempotency-Key cannot be read",
            $"Expected one Idempotency-Key of 1 to {MaxKeyLength} characters.");
        return false;
    }

    /// <summary>A run as it is until the orchestrator has taken it on.</summary>
    public static RunResource Show(SubmitRun run) => new()
    {
        Id = run.RunId,
        Tenant = run.Tenant,
        State = run.Cancelled ? RunStates.Cancelling : RunStates.Accepted,
        ModelName = run.ModelName,
        Model = run.Model,
        Pipeline = run.Pipeline,
        Datasets = run.Datasets,
        Steps = [.. run.Pipeline.Steps.Select((step, i) => new StepResource { Step = i + 1, Uses = step.Uses, State = StepStates.Pending })],
        Priority = run.Priority,
        Labels = run.Labels,
        Sequence = 0,
        AcceptedAt = run.AcceptedAt,
    };

    private async Task<IResult> AcceptAsync(RequestBody body, string tenant, string? key, CancellationToken cancellation)
    {
        var (run, violations) = await ReadAsync(body.Document, tenant, cancellation);
        if (run is null)
            return PipelineEndpoints.Refuse(violations);

        var answer = JsonSerializer.Serialize(Show(run), ContractJson.Options);
        database.AcceptedRuns.Add(new AcceptedRunRow
        {
            RunId = run.RunId,
            Tenant = run.Tenant,
            Submission = JsonSerializer.Serialize(run, ContractJson.Options),
            AcceptedAt = run.AcceptedAt,
        });
        if (key is not null)
        {
            // One that has run out and was not forgotten yet would still hold the key.
            var oldest = run.AcceptedAt - KeysKept;
            await database.IdempotencyKeys.Where(k => k.Tenant == run.Tenant && k.Key == key && k.CreatedAt < oldest).ExecuteDeleteAsync(cancellation);
            database.IdempotencyKeys.Add(new IdempotencyRow
            {
                Tenant = run.Tenant, Key = key, Fingerprint = body.Fingerprint, RunId = run.RunId, Answer = answer, CreatedAt = run.AcceptedAt,
            });
        }
        handOver.Note(run.RunId);
        await outbox.AddAsync(HandOver.Runs, run.RunId, run, cancellation);
        // All rows or none: one SaveChanges is one transaction. The message leaves afterwards, so a broker that is down delays the run and not the answer.
        await database.SaveChangesAsync(cancellation);
        outbox.Committed();
        return new AcceptedAnswer(run.RunId, answer);
    }

    private async Task<(SubmitRun? Run, IReadOnlyList<Violation> Violations)> ReadAsync(JsonNode? request, string tenant, CancellationToken cancellation)
    {
        var fields = new RequestFields(request);
        var model = await ResolveModelAsync(fields, tenant, cancellation);
        var document = await ResolvePipelineAsync(fields, tenant, cancellation);
        ApplyOptions(fields, document);
        var datasets = await ResolveDatasetsAsync(fields, tenant, document, cancellation);
        var priority = fields.Whole("priority", -MaxPriority, MaxPriority);
        var labels = ReadLabels(fields);
        var cache = fields.Flag("cache");
        var seed = fields.Whole("seed", 0, int.MaxValue);
        fields.RefuseOthers();

        var catalogue = await database.ReadCatalogueAsync(cancellation);
        var violations = fields.Violations;
        if (document is not null)
            violations.AddRange(validator.Validate(document, catalogue, ArtifactKinds.Onnx, datasets.Contains));
        if (violations.Count > 0)
            return (null, violations);

        var pipeline = document.Deserialize<PipelineDocument>(ContractJson.Options)!;
        var now = time.GetUtcNow();
        return (new SubmitRun
        {
            Tenant = tenant,
            RunId = Guid.CreateVersion7(now),
            Model = model!.Value.Artifact,
            ModelName = model.Value.Name,
            Pipeline = pipeline,
            Steps = catalogue.Resolve(pipeline),
            Datasets = [.. datasets.Resolved],
            Priority = priority ?? 0,
            Cache = cache ?? true,
            Seed = seed ?? 0,
            Labels = labels,
            TraceParent = Telemetry.CurrentParent,
            AcceptedAt = now,
        }, []);
    }

    private async Task<(string Name, ArtifactRef Artifact)?> ResolveModelAsync(RequestFields fields, string tenant, CancellationToken cancellation)
    {
        if (fields.Text("model", required: true) is not { } model)
            return null;
        if (model.StartsWith(Digests.Prefix, StringComparison.Ordinal))
        {
            var (artifact, violation) = await store.ResolveAsync(tenant, model, ArtifactKinds.Onnx, "/model", cancellation);
            if (violation is not null)
                fields.Violations.Add(violation);
            return artifact is null ? null : (model, artifact);
        }
        var models = database.Models.AsNoTracking().Where(m => m.Tenant == tenant);
        var row = Guid.TryParse(model, out var id)
            ? await models.SingleOrDefaultAsync(m => m.Id == id, cancellation)
            : await models.Where(m => m.Name == model).OrderByDescending(m => m.CreatedAt).ThenByDescending(m => m.Id).FirstOrDefaultAsync(cancellation);
        if (row is not null)
            return (row.Name, row.Artifact);
        fields.Refuse("/model", "unknown-model", $"There is no model '{Values.Shortened(model)}'. Name one with POST /v1/models, or give the digest of an artifact.");
        return null;
    }

    private async Task<JsonNode?> ResolvePipelineAsync(RequestFields fields, string tenant, CancellationToken cancellation)
    {
        var given = fields.Any("pipeline", required: true);
        if (given?.GetValueKind() != JsonValueKind.String)
            return given;
        var name = given.GetValue<string>();
        var row = await database.Pipelines.AsNoTracking().SingleOrDefaultAsync(p => p.Tenant == tenant && p.Name == name, cancellation);
        if (row is not null)
            return JsonNode.Parse(row.Document);
        fields.Refuse("/pipeline", "unknown-pipeline", $"There is no pipeline '{Values.Shortened(name)}'. Store it with POST /v1/pipelines, or give the document itself.");
        return null;
    }

    // The document is judged with these options in it, so what is wrong with them is said of the step.
    private static void ApplyOptions(RequestFields fields, JsonNode? document)
    {
        if (fields.Mapping("options") is not { } options)
            return;
        var steps = (document as JsonObject)?["steps"] as JsonArray;
        foreach (var (number, given) in options)
        {
            var pointer = Pointers.Of("options", number);
            if (!int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var step) || step < 1 || (steps is not null && step > steps.Count))
                fields.Refuse(pointer, "unknown-step", $"There is no step '{Values.Shortened(number)}'. Expected the number of a step{(steps is null ? "" : $", 1 to {steps.Count}")}.");
            else if (given is not JsonObject values)
                fields.Refuse(pointer, "wrong-type", $"The options of step {step} are {Values.Describe(given)}. Expected a mapping.");
            else if (steps?[step - 1] is JsonObject target)
                Merge(target, values);
        }
    }

    private static void Merge(JsonObject step, JsonObject options)
    {
        if (step["with"] is null)
            step["with"] = new JsonObject();
        if (step["with"] is not JsonObject with)
            return;
        foreach (var (name, value) in options)
            with[name] = value?.DeepClone();
    }

    private async Task<RunDatasets> ResolveDatasetsAsync(RequestFields fields, string tenant, JsonNode? document, CancellationToken cancellation)
    {
        var own = fields.Texts("datasets");
        var named = DatasetNames.In(document);
        if (own.Count > MaxDatasets)
        {
            fields.Refuse("/datasets", "too-many-datasets", $"The run brings {own.Count} datasets. Expected at most {MaxDatasets}.");
            own.Clear();
        }
        var datasets = new RunDatasets(await database.ResolveDatasetsAsync(tenant, named, cancellation));
        foreach (var (name, digest) in own)
        {
            var pointer = Pointers.Of("datasets", name);
            // Refused or not, the name is the request's: the pipeline is not at fault.
            datasets.Bring(name, artifact: null);
            if (!ResourceNames.IsName(name))
            {
                fields.Refuse(pointer, "invalid-name", $"'{Values.Shortened(name)}' is no name of a dataset. Expected {ResourceNames.Expected}.");
            }
            else if (!named.Contains(name))
            {
                fields.Refuse(pointer, "unused-dataset", $"The pipeline names no dataset '{name}'.");
            }
            else
            {
                var (artifact, violation) = await store.ResolveAsync(tenant, digest, ArtifactKinds.Dataset, pointer, cancellation);
                if (violation is not null)
                    fields.Violations.Add(violation);
                datasets.Bring(name, artifact);
            }
        }
        return datasets;
    }

    private static Dictionary<string, string> ReadLabels(RequestFields fields)
    {
        var labels = fields.Texts("labels");
        if (labels.Count > MaxLabels)
            fields.Refuse("/labels", "too-many-labels", $"There are {labels.Count} labels. Expected at most {MaxLabels}.");
        foreach (var (name, value) in labels.Take(MaxLabels).Where(l => l.Key.Length > MaxLabelLength || l.Value.Length > MaxLabelLength))
            fields.Refuse(Pointers.Of("labels", name), "too-long", $"The label '{Values.Shortened(name)}' is too long. Expected at most {MaxLabelLength} characters in name and value.");
        return labels;
    }

    private Task<IdempotencyRow?> FindAsync(string tenant, string key, CancellationToken cancellation)
    {
        var oldest = time.GetUtcNow() - KeysKept;
        return database.IdempotencyKeys.AsNoTracking().SingleOrDefaultAsync(k => k.Tenant == tenant && k.Key == key && k.CreatedAt >= oldest, cancellation);
    }

    private static IResult Again(IdempotencyRow earlier, RequestBody body) => earlier.Fingerprint == body.Fingerprint
        ? new AcceptedAnswer(earlier.RunId, earlier.Answer)
        : Problems.Result(StatusCodes.Status422UnprocessableEntity, "idempotency-key-reused", "The Idempotency-Key belongs to another request",
            "Another body was accepted under this Idempotency-Key. Send a new request under a new key.");

    private sealed class AcceptedAnswer(Guid run, string body) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.Headers.Location = $"/v1/runs/{run}";
            return Results.Text(body, "application/json", statusCode: StatusCodes.Status202Accepted).ExecuteAsync(httpContext);
        }
    }

    private sealed class RunDatasets(Dictionary<string, DatasetRef> registered)
    {
        private readonly Dictionary<string, DatasetRef> _resolved = registered;

        public IEnumerable<DatasetRef> Resolved => _resolved.Values.OrderBy(d => d.Name, StringComparer.Ordinal);

        public bool Contains(string name) => _resolved.ContainsKey(name);

        public void Bring(string name, ArtifactRef? artifact) => _resolved[name] = new DatasetRef { Name = name, Artifact = artifact };
    }
}
