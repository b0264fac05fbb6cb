using System.Runtime.CompilerServices;
using System.Text.Json;

namespace TinyMLaaS.EndToEnd.Tests.WrongPipelines;

/// <summary>A document of this folder and what must be said of it; README.md beside it says how both are to be read.</summary>
internal sealed record WrongPipeline(string DocumentPath, IReadOnlyList<ExpectedViolation> Violations)
{
    private const string Suffix = ".expected.json";

    public static string Folder { get; } = Path.GetDirectoryName(Here())!;

    /// <summary>Every case by its name, such as <c>01-unknown-transformer</c>.</summary>
    public static IEnumerable<TheoryDataRow<string>> Names =>
        Directory.EnumerateFiles(Folder, "*" + Suffix).Select(f => Path.GetFileName(f)[..^Suffix.Length]).Order(StringComparer.Ordinal).Select(n => new TheoryDataRow<string>(n));

    public static WrongPipeline Named(string name) => new(
        Directory.EnumerateFiles(Folder, name + ".*").Single(f => !f.EndsWith(Suffix, StringComparison.Ordinal)),
        JsonSerializer.Deserialize<ExpectedViolation[]>(File.ReadAllText(Path.Combine(Folder, name + Suffix)), JsonSerializerOptions.Web)!);

    private static string Here([CallerFilePath] string path = "") => path;
}

/// <summary>One entry of <c>problems[]</c> without its message.</summary>
internal sealed record ExpectedViolation
{
    public int? Step { get; init; }

    public required string Field { get; init; }

    public required string Code { get; init; }
}
