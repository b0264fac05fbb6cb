using System.Text.Encodings.Web;
using System.Text.Json;
using Spectre.Console;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.Tinyml;

/// <summary>Where a command writes: results to stdout, everything else to stderr.</summary>
internal sealed class Terminal
{
    private const int NarrowestTable = 60;

    private static readonly JsonSerializerOptions Json = new(ContractJson.Options)
    {
        WriteIndented = true,
        // Read by programs and people, never by a browser: an apostrophe stays one.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public Terminal(TextWriter output, TextWriter error, bool outputIsTerminal, bool errorIsTerminal)
    {
        OutputWriter = output;
        ErrorWriter = error;
        Output = Create(output, outputIsTerminal);
        Error = Create(error, errorIsTerminal);
        IsLive = errorIsTerminal && Error.Profile.Capabilities.Ansi;
    }

    public TextWriter OutputWriter { get; }

    public TextWriter ErrorWriter { get; }

    /// <summary>Results for people.</summary>
    public IAnsiConsole Output { get; }

    /// <summary>Progress and errors for people.</summary>
    public IAnsiConsole Error { get; }

    /// <summary>True when progress may redraw itself.</summary>
    public bool IsLive { get; }

    public static Terminal OfProcess() => new(Console.Out, Console.Error, !Console.IsOutputRedirected, !Console.IsErrorRedirected);

    /// <summary>The one document of <c>--json</c>.</summary>
    public void WriteJson<T>(T document) => OutputWriter.WriteLine(JsonSerializer.Serialize(document, Json));

    /// <summary>Text as it is, without folding or markup.</summary>
    public void WriteText(string text) => OutputWriter.WriteLine(text);

    /// <summary>One line of news on stderr.</summary>
    public void Say(string line)
    {
        // A live table moves down for what its own console writes; nothing else needs folding.
        if (IsLive)
            Error.Write(new Text(line + Environment.NewLine));
        else
            ErrorWriter.WriteLine(line);
    }

    private static IAnsiConsole Create(TextWriter writer, bool isTerminal)
    {
        var plain = !isTerminal || Environment.GetEnvironmentVariable("TERM") is null or "" or "dumb";
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = plain ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = plain || Environment.GetEnvironmentVariable("NO_COLOR") is { Length: > 0 } ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = InteractionSupport.No,
        });
        // A pipe has no width: lines that a program reads are not folded. A terminal's tables are.
        console.Profile.Width = isTerminal ? Math.Max(NarrowestTable, console.Profile.Width) : 160;
        return console;
    }
}
