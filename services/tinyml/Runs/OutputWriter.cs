using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Reports;
using TinyMLaaS.Tinyml.Http;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>Fetches the last step's outputs and all reports of a run that ended. A file appears whole or not at all.</summary>
internal sealed class OutputWriter(ApiClient api, RunPlan plan)
{
    public async Task<RunOutcome> WriteAsync(RunResource run, CancellationToken cancellation)
    {
        var outputs = new List<OutputFile>();
        var steps = new List<StepFigures>();
        NetworkFigures? before = null, after = null;
        var network = run.Model;
        foreach (var step in run.Steps)
        {
            string? report = null;
            if (step.Report is { } stored)
            {
                var file = await WriteAsync(stored, Path.Combine("reports", $"{step.Step}-{step.Uses.Replace('/', '-')}.json"), cancellation);
                outputs.Add(file);
                report = file.Path;
                await WritePageAsync(run, step, file.Path, cancellation);
                if (step.Outputs.FirstOrDefault(o => o.Kind == ArtifactKinds.Onnx) is { } made)
                {
                    network = made;
                    var json = JsonNode.Parse(await File.ReadAllBytesAsync(file.Path, cancellation)) as JsonObject;
                    before ??= json?["before"].Deserialize<NetworkFigures>(Contracts.ContractJson.Options);
                    after = json?["after"].Deserialize<NetworkFigures>(Contracts.ContractJson.Options) ?? after;
                }
            }
            steps.Add(new StepFigures { Uses = step.Uses, State = step.State, Seconds = step.Seconds, Cached = step.Cached, Report = report });
        }
        foreach (var evaluation in run.Evaluations)
        {
            if (evaluation.Work.Report is { } stored)
                outputs.Add(await WriteAsync(stored, Path.Combine("reports", $"{evaluation.AfterStep}-evaluation.json"), cancellation));
        }
        if (run.State == RunStates.Succeeded)
        {
            var made = run.Steps[^1].Outputs;
            for (var i = 0; i < made.Count; i++)
                outputs.Insert(i, await WriteAsync(made[i], plan.ModelName + (i == 0 ? "" : $"-{i + 1}") + Extension(made[i].Kind), cancellation));
        }
        before = (before ?? new NetworkFigures()) with { Bytes = run.Model.Size };
        return new RunOutcome
        {
            Run = run,
            Network = network,
            Document = new RunDocument
            {
                Run = run.Id,
                State = run.State,
                Evaluation = run.Pipeline.Evaluate is { } asked
                    ? new EvaluationFigures
                    {
                        Metric = asked.Metric,
                        Before = run.Evaluations.FirstOrDefault(e => e.AfterStep == 0)?.Value,
                        After = run.Evaluations.Where(e => e.AfterStep > 0).MaxBy(e => e.AfterStep)?.Value,
                    }
                    : null,
                Before = before,
                After = (after ?? before) with { Bytes = network.Size },
                Steps = steps,
                Outputs = outputs,
                Problems = Problems(run),
            },
        };
    }

    private static List<Violation> Problems(RunResource run)
    {
        List<Violation> problems =
        [
            .. run.Steps.Where(s => s.Failure is not null).Select(s => new Violation { Step = s.Step, Field = $"/steps/{s.Step - 1}", Code = s.Failure!.Code, Message = s.Failure.Message }),
            .. run.Evaluations.Where(e => e.Work.Failure is not null).Select(e => new Violation { Field = "/evaluate", Code = e.Work.Failure!.Code, Message = e.Work.Failure.Message }),
        ];
        if (problems.Count == 0 && run.Failure is { } failure)
            problems.Add(new Violation { Field = "", Code = failure.Code, Message = failure.Message });
        return problems;
    }

    /// <summary>The report for people, beside the one for programs. It is no artifact, so it is not among the outputs.</summary>
    private static async Task WritePageAsync(RunResource run, StepResource step, string report, CancellationToken cancellation)
    {
        var path = Path.ChangeExtension(report, ".html");
        try
        {
            using var json = JsonDocument.Parse(await File.ReadAllBytesAsync(report, cancellation));
            await File.WriteAllTextAsync(path, ReportPage.Render(ReportHeading.OfStep(step.Uses, run.Id, step.Step, step.Seconds, step.Cached), json.RootElement), cancellation);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw NotWritable(path, e);
        }
    }

    private static CommandException NotWritable(string path, Exception e) =>
        new(ExitCodes.WrongInput, "file-not-writable", $"Cannot write '{path}': {e.Message}", inner: e);

    private async Task<OutputFile> WriteAsync(ArtifactRef artifact, string name, CancellationToken cancellation)
    {
        var path = Path.Combine(plan.OutputFolder, name);
        var temporary = path + ".part";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            await api.DownloadAsync(artifact, temporary, cancellation);
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw NotWritable(path, e);
        }
        finally
        {
            File.Delete(temporary);
        }
        return new OutputFile { Path = path, Kind = artifact.Kind, Bytes = artifact.Size, Digest = artifact.Digest };
    }

    private static string Extension(string kind) => kind switch
    {
        ArtifactKinds.Onnx => ".onnx",
        ArtifactKinds.Bundle => ".tar.gz",
        ArtifactKinds.OciImage => ".oci.tar",
        ArtifactKinds.DiskImage => ".img",
        ArtifactKinds.CSource => ".c.tar.gz",
        ArtifactKinds.Report => ".json",
        _ => ".bin",
    };
}
