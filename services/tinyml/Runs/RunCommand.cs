using System.CommandLine;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary><c>tinyml run</c>: one model through one pipeline.</summary>
internal static class RunCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var model = new Argument<string>("MODEL") { Description = "The network, an ONNX file." };
        var pipeline = new Option<string>("--pipeline") { Description = "The pipeline document, YAML or JSON.", HelpName = "FILE", Required = true };
        var datasets = new Option<string[]>("--dataset") { Description = "Data under a name that the pipeline uses; PATH is a folder, an .npz or a .yaml. Repeatable.", HelpName = "NAME=PATH", DefaultValueFactory = _ => [] };
        var settings = new Option<string[]>("--set") { Description = "Sets an option of a step, which is a number from 1 or a transformer. Repeatable.", HelpName = "STEP.OPTION=V", DefaultValueFactory = _ => [] };
        var noCache = new Option<bool>("--no-cache") { Description = "Run every step, even if its result is known." };
        var output = new Option<string>("--out") { Description = "Folder for the outputs and reports.", HelpName = "DIR", Required = true };
        var command = new Command("run", "Runs a model through a pipeline and fetches what it makes.") { model, pipeline, datasets, settings, noCache, output };
        command.SetAction((parsed, cancellation) => RunAsync(
            global.Server(parsed), global.WantsJson(parsed), terminal, parsed.GetRequiredValue(pipeline),
            () => RunPlanReader.Read(
                parsed.GetRequiredValue(model), parsed.GetRequiredValue(pipeline), parsed.GetValue(datasets) ?? [], parsed.GetValue(settings) ?? [],
                !parsed.GetValue(noCache), parsed.GetRequiredValue(output)),
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(
        ServerChoice choice, bool json, Terminal terminal, string pipeline, Func<(RunPlan? Plan, IReadOnlyList<Contracts.Violation> Violations)> read, CancellationToken cancellation)
    {
        try
        {
            var (plan, violations) = read();
            // A document that cannot be read needs no server to be refused.
            if (plan is null)
                throw CommandException.Rejected($"'{pipeline}' cannot be run; nothing was stored.", violations);
            await using var session = await ServerSession.OpenAsync(choice, TimeProvider.System, terminal.Say, cancellation);
            var driver = new RunDriver(session.Api, session.IsOwn, terminal, TimeProvider.System);
            await driver.ValidateAsync(plan, violations, pipeline, cancellation);
            var outcome = await driver.RunAsync(plan, cancellation);
            Show(outcome, plan, json, terminal);
            return outcome.ExitCode;
        }
        catch (CommandException e) when (e.ExitCode == ExitCodes.WrongInput && json)
        {
            Cli.Report(terminal, e);
            terminal.WriteJson(new RunDocument { State = "rejected", Problems = e.Problems });
            return e.ExitCode;
        }
    }

    private static void Show(RunOutcome outcome, RunPlan plan, bool json, Terminal terminal)
    {
        var document = outcome.Document;
        foreach (var problem in document.Problems)
            terminal.Say($"tinyml: {(problem.Step is { } step ? $"step {step}: " : "")}{problem.Message} ({problem.Code})");
        if (outcome.Run.State != RunStates.Succeeded)
            terminal.Say($"Run {outcome.Run.Id} {outcome.Run.State}.");
        if (json)
        {
            terminal.WriteJson(document);
            return;
        }
        if (outcome.Run.State == RunStates.Succeeded)
            ResultTable.Write(terminal, plan.ModelName, document.Before!, document.After!, document.Evaluation);
        ResultTable.WriteFiles(terminal, document.Outputs);
    }
}
