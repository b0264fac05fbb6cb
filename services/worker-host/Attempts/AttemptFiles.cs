using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>Brings what an offer names into a folder, each file checked against its digest.</summary>
internal static class AttemptFiles
{
    public static async Task<TransformCall> FetchAsync(StepOffer offer, TransformerInfo transformer, string folder, PatientStore store, AttemptLog log, CancellationToken cancellation)
    {
        var input = Path.Combine(folder, $"input.{offer.Input.Kind}");
        await store.GetFileAsync(offer.Input, input, cancellation);
        log.Write($"input {offer.Input.Digest}, {offer.Input.Size} bytes");

        string? original = null;
        if (transformer.ReadsOriginal)
        {
            original = Path.Combine(folder, $"original.{offer.Recipe.Model.Kind}");
            await store.GetFileAsync(offer.Recipe.Model, original, cancellation);
            log.Write($"original {offer.Recipe.Model.Digest}, {offer.Recipe.Model.Size} bytes");
        }

        var datasets = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (role, dataset) in offer.Datasets.OrderBy(d => d.Key, StringComparer.Ordinal))
        {
            if (dataset.Artifact is not { } artifact)
            {
                throw new TransformRejectedException(
                    "dataset-not-here",
                    $"Cannot read dataset '{dataset.Name}' for {role}: it stays on site '{dataset.Site}' and this worker is not there. Place the step on that site's nodes.");
            }
            var (archive, unpacked) = (Path.Combine(folder, $"dataset-{role}.tar"), Path.Combine(folder, $"dataset-{role}"));
            await store.GetFileAsync(artifact, archive, cancellation);
            Directory.CreateDirectory(unpacked);
            await using (var stream = File.OpenRead(archive))
                DatasetPacker.Unpack(stream, unpacked);
            File.Delete(archive);
            datasets[role] = unpacked;
            log.Write($"dataset {dataset.Name} for {role}: {artifact.Digest}, {artifact.Size} bytes");
        }

        var reports = new List<string>();
        foreach (var step in transformer.ReadsReports ? offer.Recipe.Steps : [])
        {
            var path = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"report-{reports.Count + 1}.json"));
            await store.GetFileAsync(step.Report, path, cancellation);
            reports.Add(path);
        }

        var work = Path.Combine(folder, "work");
        Directory.CreateDirectory(work);
        return new TransformCall
        {
            Uses = offer.Uses,
            InputPath = input,
            InputKind = offer.Input.Kind,
            OriginalPath = original,
            With = offer.With,
            Datasets = datasets,
            Seed = offer.Seed,
            ModelName = offer.Recipe.ModelName,
            Recipe = (JsonObject)JsonSerializer.SerializeToNode(offer.Recipe, ContractJson.Options)!,
            ReportPaths = reports,
            WorkFolder = work,
        };
    }
}
