using System.Globalization;

namespace TinyMLaaS.Servers.Testing;

/// <summary>A disk of a few megabytes, in memory, that can be filled to its last byte. It needs the right to mount, which root has where it is not taken away.</summary>
internal sealed class SmallDisk : IAsyncDisposable
{
    private readonly bool _own;

    private SmallDisk(string folder, bool own)
    {
        Folder = folder;
        _own = own;
    }

    /// <summary>Where it is.</summary>
    public string Folder { get; }

    private string Filling => Path.Combine(Folder, "filling");

    /// <param name="megabytes">How large it is.</param>
    /// <param name="folder">Where to mount it; a folder of its own unless given.</param>
    /// <exception cref="InvalidOperationException">Mounting is not allowed here.</exception>
    public static async Task<SmallDisk> MountAsync(int megabytes, string? folder = null)
    {
        var disk = new SmallDisk(folder ?? Directory.CreateTempSubdirectory("tinymlaas-disk-").FullName, own: folder is null);
        Directory.CreateDirectory(disk.Folder);
        try
        {
            await ServerProcess.RunAsync("mount", ["-t", "tmpfs", "-o", string.Create(CultureInfo.InvariantCulture, $"size={megabytes}m,mode=0755"), "tinymlaas-test", disk.Folder]);
        }
        catch (Exception error) when (error is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            throw new InvalidOperationException(
                "A test of full disks cannot mount a small one. Run the tests as root, and in a container with --privileged or --cap-add SYS_ADMIN.", error);
        }
        return disk;
    }

    /// <summary>Takes all room that is left.</summary>
    public void Fill()
    {
        var block = new byte[1 << 16];
        using var file = new FileStream(Filling, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0);
        for (var length = block.Length; length > 0;)
        {
            try
            {
                file.Write(block, 0, length);
            }
            catch (IOException)
            {
                // A smaller piece may still fit.
                length /= 2;
            }
        }
    }

    /// <summary>Gives the room back.</summary>
    public void MakeRoom() => File.Delete(Filling);

    public async ValueTask DisposeAsync()
    {
        // At once for new users, and as a whole when the last file is closed.
        await ServerProcess.RunAsync("umount", ["--lazy", Folder], mayFail: true);
        if (_own)
            Directory.Delete(Folder);
    }
}
