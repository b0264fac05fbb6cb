namespace TinyMLaaS.Installer;

/// <summary>Section <c>Installer</c>.</summary>
internal sealed class InstallerOptions
{
    public const string Section = "Installer";

    /// <summary>Folder that <c>serving/build</c> filled: the model server for each kind of machine. Unless set, the nearest <c>artifacts/model-server</c> above the program.</summary>
    public string? ModelServers { get; set; }

    /// <summary>OCI image layouts that pipelines may build on, as folders by name.</summary>
    public IDictionary<string, string> Bases { get; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Everything that is wrong.</summary>
    public IEnumerable<string> Validate()
    {
        if (ModelServers is not null && !Directory.Exists(ModelServers))
            yield return $"Installer:ModelServers is '{ModelServers}', which is no folder. Name the one that serving/build fills.";
        foreach (var (name, folder) in Bases)
        {
            if (!File.Exists(Path.Combine(folder, "oci-layout")))
                yield return $"Installer:Bases:{name} is '{folder}', which is no OCI image layout: it has no file 'oci-layout'. 'skopeo copy docker://NAME oci:{folder}' makes one.";
        }
    }

    /// <summary>Where the model servers are, or would be.</summary>
    public string FindModelServers()
    {
        if (ModelServers is not null)
            return ModelServers;
        const string artifacts = "artifacts/model-server";
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var built = Path.Combine(folder.FullName, artifacts);
            // A checkout has them there when they are built.
            if (Directory.Exists(built) || File.Exists(Path.Combine(folder.FullName, "serving", "build")))
                return built;
        }
        return Path.Combine(AppContext.BaseDirectory, "model-server");
    }
}
