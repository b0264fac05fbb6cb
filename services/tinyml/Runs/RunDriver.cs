using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Models;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Pictures;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Tinyml.Http;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>Takes one run through the API, from the files given to the files made.</summary>
internal sealed class RunDriver(ApiClient api, bool serverEndsWithUs, Terminal terminal, TimeProvider time)
{
    private static readonly TimeSpan PollPeriod = TimeSpan.FromMilliseconds(150);
    private static readonly TimeSpan CancelLimit = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan MissingLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan MissingProbePeriod = TimeSpan.FromSeconds(2);

    /// <summary>Refuses a wrong document, before anything is stored.</summary>
    /// <exception cref="CommandException">It is wrong; all violations are in it, those found here too.</exception>
    public async Task ValidateAsync(RunPlan? plan, IReadOnlyList<Violation> found, string pipeline, CancellationToken cancellation)
    {
        var violations = found.ToList();
        if (plan is not null)
        {
            try
            {
                await api.PostAsync<PipelineValidation>("v1/pipelines/validate", plan.Document, cancellation);
            }
            catch (CommandException e) when (e.Code == "invalid-pipeline")
            {
                // A dataset that this command brings along is not stored yet, and will be only if the document is right.
                violations.AddRange(e.Violations.Where(v => v.Code != "unknown-dataset" || RunPlanReader.TextAt(plan.Document, v.Field) is not { } name || !plan.Datasets.ContainsKey(name)));
            }
            if (violations.Count == 0)
                violations.AddRange(RunPlanReader.Unused(plan));
        }
        if (violations.Count > 0)
        {
            throw CommandException.Rejected(
                $"{(violations.Count == 1 ? "1 thing is" : $"{violations.Count} things are")} wrong with '{pipeline}'; nothing was stored.", violations);
        }
    }

    /// <summary>Stores what the run needs, runs it and fetches what it made.</summary>
    public async Task<RunOutcome> RunAsync(RunPlan plan, CancellationToken cancellation)
    {
        Guid run;
        try
        {
            var model = await api.UploadAsync(plan.ModelPath, ArtifactKinds.Onnx, cancellation);
            var named = await api.PostAsync<ModelResource>("v1/models", new CreateModel { Name = plan.ModelName, Artifact = model.Digest }, cancellation);
            var datasets = new Dictionary<string, string>();
            foreach (var (name, path) in plan.Datasets.OrderBy(d => d.Key, StringComparer.Ordinal))
                datasets[name] = (await StoreAsync(name, path, cancellation)).Digest;
            var request = new RunRequest { Model = named.Id.ToString(), Pipeline = JsonSerializer.SerializeToElement(plan.Document), Datasets = datasets, Cache = plan.Cache };
            run = (await api.PostAsync<RunResource>("v1/runs", request, cancellation)).Id;
        }
        catch (CommandException e) when (e.ExitCode == ExitCodes.NoServer)
        {
            // The reason is at the services, and one of them can be named.
            await ThrowMissingAsync(cancellation);
            throw;
        }
        terminal.Say($"Run {run} of {plan.ModelName}");
        var ended = await FollowAsync(run, cancellation);
        return await new OutputWriter(api, plan).WriteAsync(ended, ended.State == RunStates.Succeeded ? cancellation : CancellationToken.None);
    }

    private async Task<ArtifactRef> StoreAsync(string name, string path, CancellationToken cancellation)
    {
        // Made by the system with access for its owner alone.
        var archive = Path.GetTempFileName();
        try
        {
            await using (var file = new FileStream(archive, FileMode.Create, FileAccess.Write, FileShare.None))
                await Task.Run(() => DatasetPacker.Pack(path, file, new PictureDecoder()), cancellation);
            return await api.UploadAsync(archive, ArtifactKinds.Dataset, cancellation);
        }
        catch (TransformRejectedException e)
        {
            throw new CommandException(ExitCodes.WrongInput, e.Code, $"The dataset '{name}' cannot be used: {e.Message}", inner: e);
        }
        finally
        {
            File.Delete(archive);
        }
    }

    private async Task<RunResource> FollowAsync(Guid id, CancellationToken cancellation)
    {
        try
        {
            return await View().ShowAsync(tell => PollAsync(id, tell, cancellation));
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            terminal.Say($"Cancelling run {id} ...");
            using var limit = new CancellationTokenSource(CancelLimit);
            await CancelAsync(id, limit.Token);
            return await View().ShowAsync(tell => PollAsync(id, tell, limit.Token));
        }
        catch (CommandException) when (serverEndsWithUs)
        {
            // Nobody would see it end; the next server of the home must not take it up again.
            using var limit = new CancellationTokenSource(CancelLimit);
            await CancelAsync(id, limit.Token);
            throw;
        }
    }

    private Task CancelAsync(Guid id, CancellationToken cancellation) => api.PostAsync<JsonElement>($"v1/runs/{id}/cancel", null, cancellation);

    private IRunView View() => terminal.IsLive ? new LiveRunView(terminal, time) : new PlainRunView(terminal, time);

    private async Task<RunResource> PollAsync(Guid id, Action<RunResource> tell, CancellationToken cancellation)
    {
        var sequence = -1L;
        var probed = time.GetTimestamp();
        long? missingSince = null;
        while (true)
        {
            RunResource run;
            try
            {
                run = await api.GetAsync<RunResource>($"v1/runs/{id}", cancellation);
            }
            catch (CommandException e) when (e.ExitCode == ExitCodes.NoServer)
            {
                await ThrowMissingAsync(cancellation);
                throw;
            }
            tell(run);
            if (RunStates.IsTerminal(run.State))
                return run;
            if (run.Sequence != sequence || run.Steps.Any(s => s.State == StepStates.Running))
            {
                sequence = run.Sequence;
                missingSince = null;
                probed = time.GetTimestamp();
            }
            else if (time.GetElapsedTime(probed) >= MissingProbePeriod)
            {
                probed = time.GetTimestamp();
                if (await api.MissingAsync(cancellation) is { Count: > 0 } missing)
                {
                    missingSince ??= probed;
                    if (time.GetElapsedTime(missingSince.Value) >= MissingLimit)
                        throw ApiClient.Missing(missing);
                }
                else
                {
                    missingSince = null;
                }
            }
            await Task.Delay(PollPeriod, time, cancellation);
        }
    }

    private async Task ThrowMissingAsync(CancellationToken cancellation)
    {
        if (await api.MissingAsync(cancellation) is { Count: > 0 } missing)
            throw ApiClient.Missing(missing);
    }
}
