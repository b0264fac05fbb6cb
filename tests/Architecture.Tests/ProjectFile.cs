using System.Xml.Linq;

namespace TinyMLaaS.Architecture.Tests;

/// <summary>A project as its file says it.</summary>
internal sealed record ProjectFile
{
    private static readonly string Root = Find(AppContext.BaseDirectory);

    /// <summary>Path from the root of the repository, e.g. <c>services/compiler/TinyMLaaS.Compiler.csproj</c>.</summary>
    public required string Path { get; init; }

    /// <summary>E.g. <c>TinyMLaaS.Compiler</c>.</summary>
    public string Name => System.IO.Path.GetFileNameWithoutExtension(Path);

    /// <summary>E.g. <c>services</c>.</summary>
    public string Area => Path.Split('/')[0];

    /// <summary>E.g. <c>compiler</c>.</summary>
    public string Folder => Path.Split('/')[1];

    /// <summary>Names of the projects that it references itself.</summary>
    public required IReadOnlyList<string> Projects { get; init; }

    /// <summary>Names of the packages that it references itself.</summary>
    public required IReadOnlyList<string> Packages { get; init; }

    /// <summary>Names of elements, for rules about what a project file may hold.</summary>
    public required XDocument Xml { get; init; }

    public static string RepositoryPath(string relative) => System.IO.Path.Combine(Root, relative);

    /// <summary>Every project of the repository.</summary>
    public static IReadOnlyList<ProjectFile> ReadAll() =>
    [
        .. Directory.EnumerateFiles(Root, "*.csproj", SearchOption.AllDirectories)
            .Select(file => System.IO.Path.GetRelativePath(Root, file))
            .Where(file => !file.Contains("/obj/", StringComparison.Ordinal) && !file.Contains("/bin/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)
            .Select(file => Read(file, File.ReadAllText(RepositoryPath(file)))),
    ];

    public static ProjectFile Read(string path, string text)
    {
        var xml = XDocument.Parse(text);
        return new ProjectFile
        {
            Path = path,
            Projects = [.. Includes(xml, "ProjectReference").Select(i => System.IO.Path.GetFileNameWithoutExtension(i.Replace('\\', '/')))],
            Packages = [.. Includes(xml, "PackageReference")],
            Xml = xml,
        };
    }

    private static IEnumerable<string> Includes(XDocument xml, string element) => xml.Descendants(element).Select(e => (string?)e.Attribute("Include")).OfType<string>();

    private static string Find(string folder) =>
        File.Exists(System.IO.Path.Combine(folder, "TinyMLaaS.sln")) ? folder
        : Find(System.IO.Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("The tests do not run inside the repository."));
}
