using TinyMLaaS.Engine.Packaging;

namespace TinyMLaaS.Installer;

/// <summary>Section <c>Installer</c>.</summary>
internal sealed class InstallerOptions
{
    public const string Section = "Installer";

    /// <summary>Folder that <c>serving/build</c> filled: the model server for each kind of machine. Unless set, the nearest <c>artifacts/model-server</c> above the program.</summary>
    public string? ModelServers { get; set; }

    /// <summary>OCI image layouts that pipelines may build on, as folders by name.</summary>
    public IDictionary<string, string> Bases { get; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>File with the private key that packages are signed with: PEM, Ed25519. Unless set, the key of development, which is no secret.</summary>
    public string? SigningKeyFile { get; set; }

    /// <summary>Everything that is wrong.</summary>
    public IEnumerable<string> Validate()
    {
        if (ModelServers is not null && !Directory.Exists(ModelServers))
            yield return $"Installer:ModelServers is '{ModelServers}', which is no folder. Name the one that serving/build fills.";
        if (SigningKeyFile is not null && WhyNoSigner() is { } why)
            yield return $"Installer:SigningKeyFile is '{SigningKeyFile}': {why}";
        foreach (var (name, folder) in Bases)
        {
            if (!File.Exists(Path.Combine(folder, "oci-layout")))
                yield return $"Installer:Bases:{name} is '{folder}', which is no OCI image layout: it has no file 'oci-layout'. 'skopeo copy docker://NAME oci:{folder}' makes one.";
        }
    }

    /// <summary>Whose seal packages get.</summary>
    public PackageSigner ReadSigner() => SigningKeyFile is null ? PackageSigner.Development : PackageSigner.FromPem(File.ReadAllText(SigningKeyFile));

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

    private string? WhyNoSigner()
    {
        try
        {
            ReadSigner();
            return null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or FormatException)
        {
            return error.Message;
        }
    }
}
