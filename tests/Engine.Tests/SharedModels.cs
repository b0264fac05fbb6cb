using System.Runtime.CompilerServices;

namespace TinyMLaaS.Engine.Tests;

/// <summary>Real networks beside the repository, which hold terms that keep them out of it.</summary>
internal static class SharedModels
{
    /// <summary>Paths below the folder, or one null where the folder is absent: a theory needs a row to skip.</summary>
    public static IEnumerable<TheoryDataRow<string>> All => Rows("*.onnx");

    public static IEnumerable<TheoryDataRow<string>> Labelled => Rows("model.onnx");

    private static string Folder =>
        Environment.GetEnvironmentVariable("TINYML_SHARED_MODELS") is { Length: > 0 } folder ? folder
        : Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Here())!, "..", "..", "..", "shared", "models"));

    /// <summary>The file's full path; skips the test where the folder is absent.</summary>
    public static string Find(string relative)
    {
        if (!Directory.Exists(Folder))
            Assert.Skip("The folder of shared models is absent; TINYML_SHARED_MODELS names it.");
        return Path.Combine(Folder, relative);
    }

    private static IEnumerable<TheoryDataRow<string>> Rows(string pattern) =>
        Directory.Exists(Folder)
            ? Directory.EnumerateFiles(Folder, pattern, SearchOption.AllDirectories).Select(f => Path.GetRelativePath(Folder, f)).Order(StringComparer.Ordinal).Select(f => new TheoryDataRow<string>(f))
            : [new TheoryDataRow<string>("absent")];

    private static string Here([CallerFilePath] string path = "") => path;
}
