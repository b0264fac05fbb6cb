using System.CommandLine;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Tinyml.Runs;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Demo;

/// <summary><c>tinyml demo</c>: a trained network of ours through fuse, quantize and bundle, over HTTP, with what was gained.</summary>
internal static class DemoCommand
{
    private const string DefaultOutput = "demo-output";
    private const int TimedRuns = 300;

    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var target = new Option<string>("--target") { Description = "What to make of the compressed network.", HelpName = "bundle", DefaultValueFactory = _ => "bundle" };
        target.AcceptOnlyFromAmong("bundle");
        var output = new Option<string>("--out") { Description = $"Folder for the outputs and reports; {DefaultOutput} by default.", HelpName = "DIR", DefaultValueFactory = _ => DefaultOutput };
        var without = new Option<string[]>("--without") { Description = "Leaves a service out, for tests.", Hidden = true, DefaultValueFactory = _ => [] };
        var command = new Command("demo", "Compresses a sample network through the whole system and shows what was gained.") { target, output, without };
        command.SetAction((parsed, cancellation) => RunAsync(
            global.Server(parsed, parsed.GetValue(without)), global.WantsJson(parsed), parsed.GetRequiredValue(output), terminal, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ServerChoice choice, bool json, string output, Terminal terminal, CancellationToken cancellation)
    {
        var samples = DemoSamples.Find();
        var (plan, violations) = RunPlanReader.Read(
            samples.Model, samples.Pipeline, [$"calibration={samples.Calibration}", $"evaluation={samples.Evaluation}"], [], cache: true, output);
        if (plan is null)
            throw CommandException.Rejected($"'{samples.Pipeline}' cannot be run.", violations);
        RunOutcome outcome;
        var network = Path.GetTempFileName();
        try
        {
            await using (var session = await ServerSession.OpenAsync(choice, TimeProvider.System, terminal.Say, cancellation))
            {
                var driver = new RunDriver(session.Api, session.IsOwn, terminal, TimeProvider.System);
                await driver.ValidateAsync(plan, violations, samples.Pipeline, cancellation);
                outcome = await driver.RunAsync(plan, cancellation);
                if (outcome.Run.State == RunStates.Succeeded)
                    await session.Api.DownloadAsync(outcome.Network, network, cancellation);
            }
            // The server is gone by now: nothing else of ours takes processor time while the networks are timed.
            var latencies = outcome.Run.State != RunStates.Succeeded ? null : Latency.MedianMilliseconds(
                [await File.ReadAllBytesAsync(samples.Model, cancellation), await File.ReadAllBytesAsync(network, cancellation)], TimeProvider.System, runs: TimedRuns, cancellation: cancellation);
            var document = Describe(outcome, latencies);
            Show(document, outcome, json, terminal);
            return outcome.ExitCode;
        }
        finally
        {
            File.Delete(network);
        }
    }

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
        ResultTable.WriteFiles(terminal, document.Outputs);
    }
}
