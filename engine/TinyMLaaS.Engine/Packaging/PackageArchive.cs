using System.Formats.Tar;
using System.IO.Compression;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>Writes <c>.tar.gz</c> archives that depend on nothing but their files: fixed times, owners and modes, the order given.</summary>
internal static class PackageArchive
{
    /// <summary>Writes an archive of plain files, replacing what is there.</summary>
    public static void Write(string archive, IEnumerable<PackageFile> files, CancellationToken cancellation)
    {
        using var stream = File.Create(archive);
        using var zip = new GZipStream(stream, CompressionLevel.Optimal);
        using var tar = new TarWriter(zip, TarEntryFormat.Ustar);
        foreach (var file in files)
        {
            cancellation.ThrowIfCancellationRequested();
            PackageEntry.Write(tar, file);
        }
    }
}
