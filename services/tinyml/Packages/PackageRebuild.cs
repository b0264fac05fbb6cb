using System.Text.Json;
using TinyMLaaS.Contracts.Models;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Tinyml.Http;

namespace TinyMLaaS.Tinyml.Packages;

/// <summary>Makes a package again, from what the server's store still has of it.</summary>
internal static class PackageRebuild
{
    /// <summary>Runs the recipe without the cache.</summary>
    /// <param name="api">A server that has the model and the datasets.</param>
    /// <param name="recipe">What to repeat.</param>
    /// <param name="expected">Digest of the package.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="CommandException">The store lacks something, or the run failed.</exception>
    public static async Task<RebuildFigures> RunAsync(ApiClient api, PackageRecipe recipe, string expected, CancellationToken cancellation)
    {
        RunResource run;
        try
        {
            var model = await api.PostAsync<ModelResource>("v1/models", new CreateModel { Name = recipe.ModelName, Artifact = recipe.Model }, cancellation);
            run = await api.PostAsync<RunResource>(
                "v1/runs",
                new RunRequest { Model = model.Id.ToString(), Pipeline = JsonSerializer.SerializeToElement(recipe.Document()), Datasets = recipe.Datasets, Cache = false, Seed = recipe.Seed },
                cancellation);
        }
        catch (CommandException error) when (error.ExitCode == ExitCodes.WrongInput)
        {
            throw new CommandException(
                error.ExitCode, error.Code,
                $"The package cannot be made again on this server. It takes the model {recipe.Model}{string.Concat(recipe.Datasets.Select(d => $" and the dataset '{d.Key}', {d.Value}"))}: ask the server that made it (--server), or its home (--home).",
                error.Violations, error);
        }
        while (!RunStates.IsTerminal(run.State))
            run = await api.GetAsync<RunResource>($"v1/runs/{run.Id}?wait=20s", cancellation);
        if (run.State != RunStates.Succeeded)
        {
            var failure = run.Steps.Select(s => s.Failure).FirstOrDefault(f => f is not null) ?? run.Failure;
            throw new CommandException(ExitCodes.RunFailed, failure?.Code ?? run.State, $"Run {run.Id}, which repeats it, {run.State}: {failure?.Message}");
        }
        var digest = run.Steps[^1].Outputs[0].Digest;
        return new RebuildFigures
        {
            Run = run.Id,
            Digest = digest,
            Identical = digest == expected,
            Differences = digest == expected ? [] : await DifferencesAsync(api, recipe, cancellation),
        };
    }

    private static async Task<IReadOnlyList<string>> DifferencesAsync(ApiClient api, PackageRecipe recipe, CancellationToken cancellation)
    {
        var differences = new List<string>();
        foreach (var step in recipe.Steps.DistinctBy(s => s.Uses))
        {
            var now = (await api.GetAsync<JsonElement>($"v1/transformers/{step.Uses}", cancellation)).GetProperty("descriptor").GetProperty("version").GetString();
            if (now != step.Version)
                differences.Add($"{step.Uses} is of version {now} now and was of {step.Version}.");
        }
        return differences;
    }
}
