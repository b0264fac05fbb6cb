using System.Formats.Tar;
using System.IO.Compression;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>A layer of an image as a file: a tar, mostly compressed, named by its content (OCI Image Format 1.1, layer.md).</summary>
/// <param name="Path">Where it lies.</param>
/// <param name="MediaType">What kind of file that is.</param>
/// <param name="Digest">Of the file: what a registry calls it.</param>
/// <param name="Bytes">Length of the file.</param>
/// <param name="DiffId">Digest of the tar itself, which another version of the compressor does not change.</param>
/// <param name="UnpackedBytes">What its files hold.</param>
internal sealed record ImageLayer(string Path, string MediaType, string Digest, long Bytes, string DiffId, long UnpackedBytes)
{
    /// <summary>A tar as it is.</summary>
    public const string Plain = "application/vnd.oci.image.layer.v1.tar";

    /// <summary>A tar compressed by gzip.</summary>
    public const string Compressed = Plain + "+gzip";

    /// <summary>Writes a layer that depends on nothing but its files: sorted, with every folder above them, fixed times, owners and modes.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="files">Each path once, in any order.</param>
    /// <param name="cancellation">Ends it early.</param>
    public static ImageLayer Write(string path, IEnumerable<PackageFile> files, CancellationToken cancellation)
    {
        var sorted = new SortedDictionary<string, PackageFile?>(StringComparer.Ordinal);
        foreach (var file in files)
        {
            if (!sorted.TryAdd(file.Path, file))
                throw new ArgumentException($"'{file.Path}' is there twice.", nameof(files));
            for (var end = file.Path.LastIndexOf('/'); end > 0; end = file.Path.LastIndexOf('/', end - 1))
                sorted.TryAdd(file.Path[..end] + "/", null);
        }
        using (var stream = File.Create(path))
        using (var compressed = new HashedStream(stream))
        {
            string diffId;
            using (var zip = new GZipStream(compressed, CompressionLevel.Optimal, leaveOpen: true))
            using (var plain = new HashedStream(zip))
            {
                using (var tar = new TarWriter(plain, TarEntryFormat.Ustar, leaveOpen: true))
                {
                    foreach (var (name, file) in sorted)
                    {
                        cancellation.ThrowIfCancellationRequested();
                        if (file is null)
                            PackageEntry.WriteFolder(tar, name);
                        else
                            PackageEntry.Write(tar, file);
                    }
                }
                diffId = plain.Digest();
            }
            return new ImageLayer(path, Compressed, compressed.Digest(), compressed.Length, diffId, sorted.Values.Sum(f => f?.Bytes ?? 0));
        }
    }

    /// <summary>Describes a layer that is there.</summary>
    /// <param name="path">The file.</param>
    /// <param name="mediaType"><see cref="Plain"/> or <see cref="Compressed"/>.</param>
    /// <param name="entry">Told the path of everything in it.</param>
    /// <param name="cancellation">Ends it early.</param>
    /// <exception cref="InvalidDataException">It is no such file.</exception>
    public static ImageLayer Read(string path, string mediaType, Action<string>? entry, CancellationToken cancellation)
    {
        using var file = File.OpenRead(path);
        using var stored = new HashedStream(file);
        using var unzipped = mediaType == Compressed ? new GZipStream(stored, CompressionMode.Decompress, leaveOpen: true) : null;
        using var plain = new HashedStream((Stream?)unzipped ?? stored);
        var unpacked = 0L;
        using (var tar = new TarReader(plain, leaveOpen: true))
        {
            while (tar.GetNextEntry() is { } found)
            {
                cancellation.ThrowIfCancellationRequested();
                unpacked += found.Length;
                entry?.Invoke(found.Name);
            }
        }
        // What follows the last entry belongs to both digests.
        plain.CopyTo(Stream.Null);
        stored.CopyTo(Stream.Null);
        return new ImageLayer(path, mediaType, stored.Digest(), stored.Length, plain.Digest(), unpacked);
    }
}
