namespace TinyMLaaS.Standalone;

/// <summary>The folder of a standalone server and the names in it.</summary>
internal sealed class StandaloneHome(string? folder)
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    public string Folder { get; } = Path.GetFullPath(folder ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".tinymlaas"));

    public string ApiDatabase => Path.Combine(Folder, "pipeline-api.db");

    public string OrchestratorDatabase => Path.Combine(Folder, "orchestrator.db");

    public string Artifacts => Path.Combine(Folder, "artifacts");

    public string Work => Path.Combine(Folder, "work");

    public string Logs => Path.Combine(Folder, "logs");

    public string ServerFile => Path.Combine(Folder, "server.json");

    public string LockFile => Path.Combine(Folder, "lock");

    public void Create()
    {
        try
        {
            foreach (var path in (string[])[Folder, Artifacts, Work, Logs])
            {
                if (OperatingSystem.IsWindows())
                    Directory.CreateDirectory(path);
                else
                    Directory.CreateDirectory(path, OwnerOnly);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StandaloneException("home-not-usable", $"Cannot create the home '{Folder}': {e.Message} Name a folder you may write with --home.", e);
        }
    }

    /// <summary>Removes what attempts of a killed server left; only the lock's owner may.</summary>
    public void ClearWork()
    {
        foreach (var entry in new DirectoryInfo(Work).EnumerateFileSystemInfos())
        {
            if (entry is DirectoryInfo { LinkTarget: null } folder)
                folder.Delete(recursive: true);
            else
                entry.Delete();
        }
    }
}
