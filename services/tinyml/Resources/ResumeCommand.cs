using System.CommandLine;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary><c>tinyml resume</c>: goes on with a run that failed or was cancelled.</summary>
internal static class ResumeCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal) =>
        RunAction.Create(global, terminal, "resume", "Goes on with a run that failed or was cancelled, from the first step without a result. Steps that have succeeded are not repeated.");
}
