namespace TinyMLaaS.Standalone;

/// <summary>The exclusive use of a home by one process. The kernel releases it however the process ends.</summary>
internal sealed class HomeLock : IDisposable
{
    private readonly FileStream _file;

    private HomeLock(FileStream file) => _file = file;

    public static HomeLock Take(StandaloneHome home)
    {
        try
        {
            return new HomeLock(new FileStream(home.LockFile, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (UnauthorizedAccessException e)
        {
            throw new StandaloneException("home-not-usable", $"Cannot lock the home '{home.Folder}': {e.Message} Name a folder you may write with --home.", e);
        }
        catch (IOException e)
        {
            var owner = Standalone.ServerFile.TryRead(home.Folder) is { } server ? $"process {server.Pid} at {server.Url}" : "another process that is just starting or stopping";
            throw new StandaloneException(
                "home-in-use", $"The home '{home.Folder}' is in use by {owner}. Talk to that server, stop it, or name another folder with --home.", e);
        }
    }

    public void Dispose() => _file.Dispose();
}
