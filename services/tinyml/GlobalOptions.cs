using System.CommandLine;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml;

/// <summary>Options of every command.</summary>
internal sealed class GlobalOptions
{
    private readonly Option<bool> _json = new("--json") { Description = "Write one JSON document to stdout, everything else to stderr.", Recursive = true };
    private readonly Option<string?> _server = new("--server") { Description = "Address of a server (environment: TINYML_SERVER). Without one, the home's own is used or started.", HelpName = "URL", Recursive = true };
    private readonly Option<string?> _key = new("--key") { Description = "Key for the server (environment: TINYML_KEY).", HelpName = "KEY", Recursive = true };
    private readonly Option<string?> _home = new("--home") { Description = "Folder of the own server; ~/.tinymlaas by default.", HelpName = "DIR", Recursive = true };

    public void AddTo(Command root)
    {
        root.Options.Add(_json);
        root.Options.Add(_server);
        root.Options.Add(_key);
        root.Options.Add(_home);
    }

    public bool WantsJson(ParseResult parsed) => parsed.GetValue(_json);

    public string? Home(ParseResult parsed) => parsed.GetValue(_home);

    public ServerChoice Server(ParseResult parsed, IReadOnlyList<string>? without = null) => new(
        parsed.GetValue(_server) ?? FromEnvironment("TINYML_SERVER"), parsed.GetValue(_key) ?? FromEnvironment("TINYML_KEY"), parsed.GetValue(_home), without ?? []);

    private static string? FromEnvironment(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
}
