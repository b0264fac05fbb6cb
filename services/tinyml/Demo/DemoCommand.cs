using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Tinyml.Runs;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Demo;

/// <summary><c>tinyml demo</c>: a trained network of ours through fuse, quantize and an installer, over HTTP, with what was gained; an image is run where a Docker Engine answers.</summary>
internal static class DemoCommand
{
    private const string DefaultOutput = "demo-output";
    private const int TimedRuns = 300;

    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var target = new Option<string>("--target") { Description = "What to make of the compressed network.", HelpName = "bundle|container", DefaultValueFactory = _ => DemoTargets.Bundle };
        target.AcceptOnlyFromAmong(DemoTargets.Bundle, DemoTargets.Container);
        var output = new Option<string>("--out") { Description = $"Folder for the outputs and reports; {DefaultOutput} by default.", HelpName = "DIR", DefaultValueFactory = _ => DefaultOutput };
        var without = new Option<string[]>("--without") { Description = "Leaves a service out, for tests.", Hidden = true, DefaultValueFactory = _ => [] };
        var command = new Command("demo", "Compresses a sample network through the whole system and shows what was gained.") { target, output, without };
        command.SetAction((parsed, cancellation) => RunAsync(
            global.Server(parsed, parsed.GetValue(without)), global.WantsJson(parsed), parsed.GetRequiredValue(target), parsed.GetRequiredValue(output), terminal, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ServerChoice choice, bool json, string target, string output, Terminal terminal, CancellationToken cancellation)
    {
        var samples = DemoSamples.Find();
        var pipeline = samples.Pipeline(target);
        var (plan, violations) = RunPlanReader.Read(
            samples.Model, pipeline, [$"calibration={samples.Calibration}", $"evaluation={samples.Evaluation}"], [], cache: true, output);
        if (plan is null)
            throw CommandException.Rejected($"'{pipeline}' cannot be run.", violations);
        RunOutcome outcome;
        var network = Path.GetTempFileName();
        try
        {
            await using (var session = await ServerSession.OpenAsync(choice, TimeProvider.System, terminal.Say, cancellation))
            {
                var driver = new RunDriver(session.Api, session.IsOwn, terminal, TimeProvider.System);
                await driver.ValidateAsync(plan, violations, pipeline, cancellation);
                outcome = await driver.RunAsync(plan, cancellation);
                if (outcome.Run.State == RunStates.Succeeded)
                    await session.Api.DownloadAsync(outcome.Network, network, cancellation);
            }
            // The server is gone by now: nothing else of ours takes processor time while the networks are timed.
            var latencies = outcome.Run.State != RunStates.Succeeded ? null : Latency.MedianMilliseconds(
                [await File.ReadAllBytesAsync(samples.Model, cancellation), await File.ReadAllBytesAsync(network, cancellation)], TimeProvider.System, runs: TimedRuns, cancellation: cancellation);
            var served = target == DemoTargets.Container && outcome.Run.State == RunStates.Succeeded
                ? await DemoContainer.AskAsync(outcome.Document.Outputs[0], await ReferenceAsync(outcome, cancellation), samples, terminal, cancellation)
                : null;
            var document = Describe(outcome, latencies) with { Served = served };
            Show(document, outcome, json, terminal);
            return outcome.ExitCode;
        }
        finally
        {
            File.Delete(network);
        }
    }

    /// <summary>Name and tag of the image that the last step made, as its report says.</summary>
    private static async Task<string> ReferenceAsync(RunOutcome outcome, CancellationToken cancellation) =>
        (string)JsonNode.Parse(await File.ReadAllBytesAsync(outcome.Document.Steps[^1].Report!, cancellation))!["image"]!;

    private static DemoDocument Describe(RunOutcome outcome, IReadOnlyList<double>? latencies)
    {
        var run = outcome.Document;
        return new DemoDocument
        {
            Run = outcome.Run.Id,
            State = run.State,
            Before = run.Before! with { Top1 = run.Evaluation?.Before, LatencyMs = latencies?[0] },
            After = run.After! with { Top1 = run.Evaluation?.After, LatencyMs = latencies?[1] },
            Steps = run.Steps,
            Outputs = run.Outputs,
            Problems = run.Problems,
        };
    }

    private static void Show(DemoDocument document, RunOutcome outcome, bool json, Terminal terminal)
    {
        foreach (var problem in document.Problems)
            terminal.Say($"tinyml: {(problem.Step is { } step ? $"step {step}: " : "")}{problem.Message} ({problem.Code})");
        if (document.State != RunStates.Succeeded)
            terminal.Say($"Run {document.Run} {document.State}.");
        if (json)
        {
            terminal.WriteJson(document);
            return;
        }
        if (document.State == RunStates.Succeeded)
            ResultTable.Write(terminal, "fashion-cnn", document.Before!, document.After!, outcome.Document.Evaluation);
        if (document.Served is { } served)
            terminal.WriteText(string.Create(CultureInfo.InvariantCulture, $"{served.Image}: ready {served.ReadySeconds:0.00} s after docker run, top1 {served.Top1:0.0000} of {served.Samples:N0}"));
        ResultTable.WriteFiles(terminal, document.Outputs);
    }
}
