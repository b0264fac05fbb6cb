using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>
/// Makes a rename survive a power cut: on Unix the name of a file is durable only after its folder has been synchronized, and .NET has
/// no call for that.
/// </summary>
internal static class Durability
{
    private const int ReadOnly = 0;

    public static void SynchronizeFolder(string path)
    {
        if (!OperatingSystem.IsLinux())
            return;
        var folder = Open(Encoding.UTF8.GetBytes(path + '\0'), ReadOnly);
        if (folder < 0)
            throw new IOException($"Cannot open the folder '{path}' to synchronize it.", new Win32Exception(Marshal.GetLastPInvokeError()));
        try
        {
            if (Synchronize(folder) != 0)
                throw new IOException($"Cannot synchronize the folder '{path}'.", new Win32Exception(Marshal.GetLastPInvokeError()));
        }
        finally
        {
            _ = Close(folder);
        }
    }

    [DllImport("libc", EntryPoint = "open", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Open(byte[] path, int flags);

    [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Synchronize(int descriptor);

    [DllImport("libc", EntryPoint = "close", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Close(int descriptor);
}
