using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>
/// Makes a rename survive a power cut: on Unix the name of a file is durable only after its folder has been synchronized, and .NET has
/// no call for that. Nor has it one that lets the disk begin before the file is complete.
/// </summary>
internal static class Durability
{
    private const int ReadOnly = 0;
    private const uint BeginOnly = 2; // SYNC_FILE_RANGE_WRITE

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

    /// <summary>Makes a folder and those above it, where there is none.</summary>
    public static void CreateFolder(string folder)
    {
        if (Directory.Exists(folder))
            return;
        var parent = Path.GetDirectoryName(folder)!;
        CreateFolder(parent);
        Directory.CreateDirectory(folder);
        SynchronizeFolder(parent);
    }

    /// <summary>Writes a small file whole: whoever looks finds the old one, the new one or, before the first, none.</summary>
    /// <param name="path">Its name; its folder is made if absent.</param>
    /// <param name="content">What is in it.</param>
    /// <param name="temporary">Another name on the same disk, which nobody else uses.</param>
    public static void WriteFile(string path, ReadOnlySpan<byte> content, string temporary)
    {
        var folder = Path.GetDirectoryName(path)!;
        CreateFolder(folder);
        try
        {
            using (var file = File.OpenHandle(temporary, FileMode.CreateNew, FileAccess.Write))
            {
                RandomAccess.Write(file, content, 0);
                RandomAccess.FlushToDisk(file);
            }
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
        SynchronizeFolder(folder);
    }

    /// <summary>Lets the system begin to write a part of a file to the disk, and waits for nothing. It promises nothing either: only a flush does.</summary>
    public static void BeginWriting(SafeFileHandle file, long offset, long length)
    {
        if (OperatingSystem.IsLinux())
            _ = SynchronizeRange(file, offset, length, BeginOnly);
    }

    [DllImport("libc", EntryPoint = "sync_file_range", SetLastError = false)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SynchronizeRange(SafeFileHandle file, long offset, long length, uint flags);

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
