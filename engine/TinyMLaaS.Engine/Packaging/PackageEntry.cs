using System.Formats.Tar;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>Entries of tars that depend on nothing but what they hold: fixed times and owners, in the oldest format that every tar reads, which has no field that would tell this machine from another.</summary>
internal static class PackageEntry
{
    private const UnixFileMode Readable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>Writes a file that everybody may read.</summary>
    public static void Write(TarWriter tar, PackageFile file)
    {
        using var content = file.Open();
        var entry = Of(TarEntryType.RegularFile, file.Path, Readable);
        entry.DataStream = content;
        tar.WriteEntry(entry);
    }

    /// <summary>An entry without its content or target.</summary>
    public static UstarTarEntry Of(TarEntryType type, string path, UnixFileMode mode) => new(type, path)
    {
        Mode = mode,
        ModificationTime = DateTimeOffset.UnixEpoch,
        Uid = 0,
        Gid = 0,
        UserName = "",
        GroupName = "",
    };
}
