using System.Formats.Tar;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>Entries of tars that depend on nothing but what they hold: fixed times, owners and modes, in the oldest format that every tar reads, which has no field that would tell this machine from another.</summary>
internal static class PackageEntry
{
    private const UnixFileMode Readable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
    private const UnixFileMode Enterable = Readable | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>Writes a file that everybody may read.</summary>
    public static void Write(TarWriter tar, PackageFile file)
    {
        using var content = file.Open();
        var entry = Of(TarEntryType.RegularFile, file.Path, Readable);
        entry.DataStream = content;
        tar.WriteEntry(entry);
    }

    /// <summary>Writes a folder that everybody may enter.</summary>
    /// <param name="tar">Where to.</param>
    /// <param name="path">Its path, with a slash at the end.</param>
    public static void WriteFolder(TarWriter tar, string path) => tar.WriteEntry(Of(TarEntryType.Directory, path, Enterable));

    private static UstarTarEntry Of(TarEntryType type, string path, UnixFileMode mode) => new(type, path)
    {
        Mode = mode,
        ModificationTime = DateTimeOffset.UnixEpoch,
        Uid = 0,
        Gid = 0,
        UserName = "",
        GroupName = "",
    };
}
