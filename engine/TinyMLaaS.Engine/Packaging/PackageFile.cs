using System.Security.Cryptography;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>A file of a package: its path inside, with slashes, and what it holds.</summary>
internal sealed class PackageFile
{
    private readonly Func<Stream> _open;

    private PackageFile(string path, Func<Stream> open)
    {
        Path = path;
        _open = open;
        using var stream = open();
        Bytes = stream.Length;
        Digest = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    /// <summary>Path inside the package.</summary>
    public string Path { get; }

    /// <summary>Length in bytes.</summary>
    public long Bytes { get; }

    /// <summary>Content address.</summary>
    public string Digest { get; }

    /// <summary>The first 12 digits of the content address, for names.</summary>
    public string ShortDigest => Digest["sha256:".Length..][..12];

    /// <summary>A file on disk, read when it is written into the package.</summary>
    public static PackageFile FromDisk(string path, string source) => new(path, () => File.OpenRead(source));

    /// <summary>A file in memory.</summary>
    public static PackageFile FromMemory(string path, byte[] content) => new(path, () => new MemoryStream(content, writable: false));

    /// <summary>The content from its beginning.</summary>
    public Stream Open() => _open();
}
