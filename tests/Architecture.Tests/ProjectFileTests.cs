using System.Diagnostics;

namespace TinyMLaaS.Architecture.Tests;

/// <summary>What holds for every project file.</summary>
public sealed class ProjectFileTests
{
    private static readonly IReadOnlyList<ProjectFile> Projects = ProjectFile.ReadAll();

    public static TheoryData<string> Paths() => [.. Projects.Select(p => p.Path)];

    [Theory]
    [MemberData(nameof(Paths))]
    public void Versions_are_central(string path) =>
        Assert.Empty(Find(path).Xml.Descendants("PackageReference").Where(e => e.Attribute("Version") is not null || e.Attribute("VersionOverride") is not null || e.Element("Version") is not null).Select(e => (string?)e.Attribute("Include")));

    [Theory]
    [MemberData(nameof(Paths))]
    public void A_lock_file_is_committed_beside_it(string path)
    {
        var lockFile = Path.Combine(Path.GetDirectoryName(path)!, "packages.lock.json");

        Assert.Contains(lockFile, Tracked);
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void It_is_part_of_the_solution(string path) =>
        Assert.Contains(path, File.ReadAllText(ProjectFile.RepositoryPath("TinyMLaaS.sln")).Replace('\\', '/'), StringComparison.Ordinal);

    [Theory]
    [MemberData(nameof(Paths))]
    public void It_is_named_after_its_folder(string path)
    {
        var project = Find(path);

        // A sample is called what it is: it is no part of the product.
        Assert.Equal(project.Area == "samples" ? "Subscriber" : project.Area is "services" or "serving" ? "TinyMLaaS." + Pascal(project.Folder) : project.Folder.StartsWith("TinyMLaaS.", StringComparison.Ordinal) ? project.Folder : "TinyMLaaS." + project.Folder, project.Name);
    }

    [Fact]
    public void A_folder_holds_one_project() => Assert.Empty(Projects.GroupBy(p => Path.GetDirectoryName(p.Path)).Where(g => g.Count() > 1).Select(g => g.Key));

    [Theory]
    [MemberData(nameof(Paths))]
    public void Warnings_are_silenced_centrally_if_at_all(string path) =>
        Assert.Empty(Find(path).Xml.Descendants().Where(e => e.Name.LocalName is "NoWarn" or "TreatWarningsAsErrors" or "WarningsNotAsErrors" or "Nullable" or "TargetFramework" or "TargetFrameworks").Select(e => e.Name.LocalName));

    // Not what lies there: what a clone gets.
    private static readonly IReadOnlySet<string> Tracked = ReadTracked();

    private static ProjectFile Find(string path) => Projects.Single(p => p.Path == path);

    private static string Pascal(string kebab) => string.Concat(kebab.Split('-').Select(word => char.ToUpperInvariant(word[0]) + word[1..]));

    private static HashSet<string> ReadTracked()
    {
        using var git = Process.Start(new ProcessStartInfo("git", ["ls-files", "*packages.lock.json"]) { WorkingDirectory = ProjectFile.RepositoryPath(""), RedirectStandardOutput = true })!;
        var files = git.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        git.WaitForExit();
        Assert.Equal(0, git.ExitCode);
        return files.ToHashSet(StringComparer.Ordinal);
    }
}
