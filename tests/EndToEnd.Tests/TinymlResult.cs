using System.Text.Json;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>What one call of the command line left.</summary>
internal sealed record TinymlResult(int ExitCode, string Output, string Error)
{
    /// <summary>Stdout as the one JSON document that <c>--json</c> promises.</summary>
    public JsonElement Json
    {
        get
        {
            try
            {
                return JsonElement.Parse(Output);
            }
            catch (JsonException e)
            {
                throw new Xunit.Sdk.XunitException($"stdout is not one JSON document: {e.Message}\n{this}");
            }
        }
    }

    public TinymlResult Expect(int exitCode) =>
        ExitCode == exitCode ? this : throw new Xunit.Sdk.XunitException($"exit code {ExitCode}, expected {exitCode}\n{this}");

    public override string ToString() => $"-- stdout\n{Output}\n-- stderr\n{Error}";
}
