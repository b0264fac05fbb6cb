using System.Formats.Tar;
using System.IO.Compression;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>Writes <c>.tar.gz</c> archives that depend on nothing but their files: fixed times, owners and modes, the order given.</summary>
internal static class PackageArchive
{
    private const UnixFileMode Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>Writes an archive of plain files, replacing what is there.</summary>
    public static void Write(string archive, IEnumerable<PackageFile> files, CancellationToken cancellation)
    {
        using var stream = File.Create(archive);
        using var zip = new GZipStream(stream, CompressionLevel.Optimal);
        // The oldest format that every tar reads; it has no field that would tell this machine from another.
        using var tar = new TarWriter(zip, TarEntryFormat.Ustar);
        foreach (var file in files)
        {
            cancellation.ThrowIfCancellationRequested();
            using var content = file.Open();
            tar.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, file.Path)
            {
                DataStream = content,
                Mode = Mode,
                ModificationTime = DateTimeOffset.UnixEpoch,
                Uid = 0,
                Gid = 0,
                UserName = "",
                GroupName = "",
            });
        }
    }
}
