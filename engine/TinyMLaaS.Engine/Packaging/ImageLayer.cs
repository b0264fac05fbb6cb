using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>A layer of an image as a file: a compressed tar named by its content (OCI Image Format 1.1, layer.md).</summary>
/// <param name="Path">Where it lies.</param>
/// <param name="Digest">Of the compressed bytes: what a registry calls it.</param>
/// <param name="Bytes">How many those are.</param>
/// <param name="DiffId">Digest of the tar itself, which another version of the compressor does not change.</param>
/// <param name="UnpackedBytes">What its files hold.</param>
internal sealed record ImageLayer(string Path, string Digest, long Bytes, string DiffId, long UnpackedBytes)
{
    /// <summary>Writes a layer that depends on nothing but its entries: sorted, with every folder above them, fixed times and owners.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="entries">Files, folders and links, each path once, in any order.</param>
    /// <param name="cancellation">Ends it early.</param>
    public static ImageLayer Write(string path, IEnumerable<ImageEntry> entries, CancellationToken cancellation)
    {
        var sorted = WithFolders(entries);
        using (var file = File.Create(path))
        using (var compressed = new HashedStream(file))
        {
            string diffId;
            using (var zip = new GZipStream(compressed, CompressionLevel.Optimal, leaveOpen: true))
            using (var plain = new HashedStream(zip))
            {
                using (var tar = new TarWriter(plain, TarEntryFormat.Ustar, leaveOpen: true))
                {
                    foreach (var entry in sorted)
                    {
                        cancellation.ThrowIfCancellationRequested();
                        Write(tar, entry);
                    }
                }
                diffId = plain.Digest();
            }
            return new ImageLayer(path, compressed.Digest(), compressed.Length, diffId, sorted.Sum(e => e.Content?.Bytes ?? 0));
        }
    }

    private static void Write(TarWriter tar, ImageEntry entry)
    {
        if (entry.Content is { } file)
        {
            using var content = file.Open();
            var written = PackageEntry.Of(TarEntryType.RegularFile, entry.Path, entry.Mode);
            written.DataStream = content;
            tar.WriteEntry(written);
        }
        else if (entry.Target is { } target)
        {
            var written = PackageEntry.Of(TarEntryType.SymbolicLink, entry.Path, entry.Mode);
            written.LinkName = target;
            tar.WriteEntry(written);
        }
        else
        {
            tar.WriteEntry(PackageEntry.Of(TarEntryType.Directory, entry.Path + "/", entry.Mode));
        }
    }

    private static List<ImageEntry> WithFolders(IEnumerable<ImageEntry> entries)
    {
        var all = new SortedDictionary<string, ImageEntry>(StringComparer.Ordinal);
        foreach (var entry in entries)
        {
            if (!all.TryAdd(entry.Path, entry))
                throw new ArgumentException($"'{entry.Path}' is there twice.", nameof(entries));
        }
        foreach (var path in all.Keys.ToArray())
        {
            for (var end = path.LastIndexOf('/'); end > 0; end = path.LastIndexOf('/', end - 1))
                all.TryAdd(path[..end], ImageEntry.Folder(path[..end]));
        }
        return [.. all.Values];
    }

    /// <summary>Counts and hashes what is written through it.</summary>
    private sealed class HashedStream(Stream to) : Stream
    {
        private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        private long _length;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => _length;

        public override long Position
        {
            get => _length;
            set => throw new NotSupportedException();
        }

        public string Digest() => "sha256:" + Convert.ToHexStringLower(_hash.GetCurrentHash());

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            to.Write(buffer);
            _hash.AppendData(buffer);
            _length += buffer.Length;
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush() => to.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                _hash.Dispose();
            base.Dispose(disposing);
        }
    }
}
