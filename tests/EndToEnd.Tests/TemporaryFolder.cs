namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>A folder of one test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("tinyml-test-").FullName;

    /// <summary>A home that no other test uses.</summary>
    public string Home => In("home");

    public string Output => In("out");

    public string In(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
