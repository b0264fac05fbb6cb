using System.CommandLine;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary><c>tinyml cancel</c>: ends a run.</summary>
internal static class CancelCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal) => RunAction.Create(global, terminal, "cancel", "Cancels a run.");
}
