using System.CommandLine;
using System.CommandLine.Help;
using Spectre.Console;
using TinyMLaaS.Contracts;
using TinyMLaaS.Tinyml.Demo;
using TinyMLaaS.Tinyml.Networks;
using TinyMLaaS.Tinyml.Packages;
using TinyMLaaS.Tinyml.Resources;
using TinyMLaaS.Tinyml.Runs;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml;

/// <summary>The command line: what <c>./tinyml</c> runs, and what tests call in process.</summary>
internal static class Cli
{
    /// <summary>Runs one command.</summary>
    /// <param name="arguments">As the shell passed them.</param>
    /// <param name="terminal">Where it writes.</param>
    /// <param name="cancellation">Ctrl-C.</param>
    /// <returns>One of <see cref="ExitCodes"/>.</returns>
    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, Terminal terminal, CancellationToken cancellation)
    {
        var options = new GlobalOptions();
        var root = new Command("tinyml", "Compresses trained networks for small devices, through pipelines of transformers.")
        {
            DemoCommand.Create(options, terminal),
            RunCommand.Create(options, terminal),
            InspectCommand.Create(options, terminal),
            EvalCommand.Create(options, terminal),
            CompareCommand.Create(options, terminal),
            ServeCommand.Create(options, terminal),
            TransformersCommand.Create(options, terminal),
            RunsCommand.Create(options, terminal),
            RunStatusCommand.Create(options, terminal),
            LogsCommand.Create(options, terminal),
            CancelCommand.Create(options, terminal),
            KeyCommand.Create(options, terminal),
            ResumeCommand.Create(options, terminal),
            VerifyCommand.Create(options, terminal),
        };
        root.Options.Add(new HelpOption());
        root.Options.Add(new VersionOption());
        options.AddTo(root);
        var parsed = root.Parse(arguments);
        var json = options.WantsJson(parsed);
        try
        {
            if (parsed.Errors.Count > 0)
            {
                throw new CommandException(
                    ExitCodes.WrongInput, "bad-command-line",
                    string.Join(" ", parsed.Errors.Select(e => e.Message)) + $" See 'tinyml {(parsed.CommandResult.Command == root ? "" : parsed.CommandResult.Command.Name + " ")}--help'.");
            }
            return await parsed.InvokeAsync(
                new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null, Output = terminal.OutputWriter, Error = terminal.ErrorWriter }, cancellation);
        }
        catch (CommandException e)
        {
            Report(terminal, e);
            if (json)
                terminal.WriteJson(new ProblemDocument { Problems = e.Problems });
            return e.ExitCode;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            terminal.Say("Cancelled.");
            if (json)
                terminal.WriteJson(new ProblemDocument { Problems = [new Violation { Field = "", Code = "cancelled", Message = "Cancelled." }] });
            return ExitCodes.RunFailed;
        }
        catch (Exception e)
        {
            // The one place where everything unforeseen ends: it is our fault, and its trace is what we need to see.
            terminal.Say($"tinyml: a bug of ours, please report it: {e}");
            if (json)
                terminal.WriteJson(new ProblemDocument { Problems = [new Violation { Field = "", Code = "internal-error", Message = e.Message }] });
            return ExitCodes.Bug;
        }
    }

    /// <summary>An error for people; several violations as a list.</summary>
    public static void Report(Terminal terminal, CommandException e)
    {
        terminal.Say($"tinyml: {e.Message}");
        if (e.Violations.Any(v => v.Field.Length > 0))
            terminal.Error.Write(ViolationList.Of(e.Violations));
    }
}
