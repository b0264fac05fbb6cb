namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>
/// The files of a worker instance while it runs. A process that was killed leaves its folder behind; the next instance of the same worker
/// sees by the lock that nobody holds it any more, and removes it.
/// </summary>
internal sealed class WorkFolder(string root, string worker, string instance) : IDisposable
{
    private const string LockName = "lock";

    private readonly string _path = Path.Combine(Path.GetFullPath(root), instance);
    private FileStream? _lock;

    public void Prepare()
    {
        Directory.CreateDirectory(_path);
        _lock = new FileStream(Path.Combine(_path, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        foreach (var other in Directory.EnumerateDirectories(Path.GetFullPath(root), $"{worker}-*").Where(d => d != _path).ToList())
            RemoveIfAbandoned(other);
    }

    /// <summary>A new, empty folder for one attempt.</summary>
    public string Create(Guid run, long fence)
    {
        var path = Path.Combine(_path, $"{run:N}-{fence}");
        Directory.CreateDirectory(path);
        return path;
    }

    public void Remove()
    {
        Dispose();
        if (Directory.Exists(_path))
            Directory.Delete(_path, recursive: true);
    }

    public void Dispose()
    {
        _lock?.Dispose();
        _lock = null;
    }

    private static void RemoveIfAbandoned(string folder)
    {
        try
        {
            using (new FileStream(Path.Combine(folder, LockName), FileMode.Open, FileAccess.ReadWrite, FileShare.None))
                Directory.Delete(folder, recursive: true);
        }
        catch (IOException)
        {
            // Held by a worker that lives, or being made by one that starts.
        }
        catch (UnauthorizedAccessException)
        {
            // Somebody else's.
        }
    }
}
