using System.CommandLine;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary>The argument that names a run.</summary>
internal static class RunId
{
    public static Argument<string> Argument() => new("ID") { Description = "The run." };

    /// <exception cref="CommandException">It is no run's id.</exception>
    public static Guid Parse(string text) => Guid.TryParse(text, out var id)
        ? id
        : throw new CommandException(ExitCodes.WrongInput, "bad-id", $"'{text}' is no id of a run. Expected one as 'tinyml runs' shows them.");
}
