using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Registry;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>A manifest inside of a tar.</summary>
/// <param name="Digest">Its name.</param>
/// <param name="Size">How long it is.</param>
/// <param name="Document">What it says.</param>
internal sealed record TarManifest(Digest Digest, long Size, ManifestDocument Document);

/// <summary>What an image in a tar is called.</summary>
/// <param name="Repository">Without a tenant.</param>
/// <param name="Tag">The tag.</param>
/// <param name="Digest">Of its manifest or index.</param>
internal sealed record TarName(string Repository, string Tag, Digest Digest);

/// <summary>
/// Finds the images in a tar that is an OCI image layout: what they are called, and where in the tar their blobs lie. The tar comes from a stranger, so everything that it says is
/// checked: a blob counts when its bytes have the digest that it is named by, an image when all that it is made of counts, and nothing is held in memory that has no bound.
/// </summary>
internal sealed class ImageTar
{
    private const int RecordBytes = 512;
    private const int MaxEntries = 100_000;
    private const int MaxNames = 64;
    private const int MaxManifests = 1000;
    private const int MaxLevels = 4;
    private const int MaxManifestBytes = 4 * ManifestDocument.MaxBytes;
    private const int BlockBytes = 1 << 20;
    private const string BlobFolder = "blobs/sha256/";
    private const string LayoutIndex = "index.json";
    private const string DockerArchive = "manifest.json";
    private const string DockerHub = "docker.io";

    private readonly Stream _tar;
    private readonly CancellationToken _cancellation;
    private readonly Dictionary<string, (long Offset, long Length)> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<Digest, ArtifactPart> _checked = [];
    private readonly Dictionary<Digest, TarManifest> _manifests = [];
    private readonly Dictionary<Digest, ManifestDescriptor> _images = [];
    private long _manifestBytes;

    private ImageTar(Stream tar, CancellationToken cancellation)
    {
        _tar = tar;
        _cancellation = cancellation;
    }

    /// <summary>Names of images.</summary>
    public IReadOnlyList<TarName> Names { get; private set; } = [];

    /// <summary>Manifests of the images that have names.</summary>
    public IReadOnlyCollection<TarManifest> Manifests => _manifests.Values;

    /// <summary>All that the images are made of.</summary>
    public IReadOnlyCollection<ArtifactPart> Parts => _checked.Values;

    /// <summary>Reads a tar.</summary>
    /// <param name="tar">Seekable.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="FormatException">It holds no image that a registry could serve; the message says why.</exception>
    public static async Task<ImageTar> ReadAsync(Stream tar, CancellationToken cancellation)
    {
        var image = new ImageTar(tar, cancellation);
        await image.FindFilesAsync();
        image.Names = await image.FindNamesAsync();
        foreach (var digest in image.Names.Select(n => n.Digest).Distinct())
            await image.CheckManifestAsync(image._images[digest], level: 0);
        return image;
    }

    private async Task FindFilesAsync()
    {
        var record = new byte[RecordBytes];
        var entries = 0;
        for (long at = 0; at + RecordBytes <= _tar.Length;)
        {
            _tar.Position = at;
            await _tar.ReadExactlyAsync(record, _cancellation);
            at += RecordBytes;
            if (record.AsSpan().IndexOfAnyExcept((byte)0) < 0)
                return;
            if (++entries > MaxEntries)
                throw new FormatException($"The tar has more than {MaxEntries} entries.");
            if (Number(record.AsSpan(148, 8)) != Sum(record) || Number(record.AsSpan(124, 12)) is not { } length)
                throw new FormatException(string.Create(CultureInfo.InvariantCulture, $"The file is no tar: there is no header at byte {at - RecordBytes}. A tar that is compressed has no image here."));
            if (length > _tar.Length - at)
                throw new FormatException(string.Create(CultureInfo.InvariantCulture, $"The tar is cut: the entry at byte {at - RecordBytes} is {length} bytes long."));
            // Extended headers say nothing that is needed: what is called otherwise, or is longer, is no blob of ours.
            if (record[156] is (byte)'0' or 0 && NameOf(record) is var name && (name is LayoutIndex or DockerArchive || name.StartsWith(BlobFolder, StringComparison.Ordinal)))
                _files[name] = (at, length);
            at += (length + RecordBytes - 1) / RecordBytes * RecordBytes;
        }
    }

    private async Task<IReadOnlyList<TarName>> FindNamesAsync()
    {
        var index = await ReadJsonAsync(LayoutIndex) ?? throw new FormatException("The tar has no 'index.json': it is no OCI image layout.");
        if (index.ValueKind != JsonValueKind.Object || !index.TryGetProperty("manifests", out var list) || list.ValueKind != JsonValueKind.Array)
            throw new FormatException("'index.json' has no list 'manifests'.");
        var images = list.EnumerateArray().Take(MaxNames + 1).ToArray();
        if (images.Length > MaxNames)
            throw new FormatException($"'index.json' names more than {MaxNames} images.");
        var tags = await ReadTagsAsync();
        var names = new List<TarName>();
        for (var i = 0; i < images.Length; i++)
        {
            var descriptor = ManifestDocument.ReadDescriptor(images[i], $"'manifests[{i}]' of 'index.json'");
            _images[descriptor.Digest] = descriptor;
            names.AddRange(Candidates(images[i], images.Length == 1, tags).Select(c => Read(c, descriptor.Digest)).OfType<TarName>());
        }
        return names.Count > 0 ? [.. names.Distinct()] : throw new FormatException("The tar gives no image a name with a tag: neither RepoTags in 'manifest.json' nor an annotation in 'index.json' does.");
    }

    // What docker-archive calls the image; and where there are several, what the layout says of each.
    private static IEnumerable<string> Candidates(JsonElement image, bool isOnly, IReadOnlyList<string> tags)
    {
        if (isOnly && tags.Count > 0)
            return tags;
        if (!image.TryGetProperty("annotations", out var annotations) || annotations.ValueKind != JsonValueKind.Object)
            return [];
        if (ManifestDocument.Text(annotations, "io.containerd.image.name") is { } full)
            return [full];
        return ManifestDocument.Text(annotations, "org.opencontainers.image.ref.name") is { } tag
            ? tag.Contains(':', StringComparison.Ordinal) ? [tag] : tags.Where(t => t.EndsWith($":{tag}", StringComparison.Ordinal))
            : [];
    }

    private async Task<IReadOnlyList<string>> ReadTagsAsync()
    {
        if (await ReadJsonAsync(DockerArchive) is not { ValueKind: JsonValueKind.Array } archive)
            return [];
        var tags = archive.EnumerateArray()
            .SelectMany(image => image.ValueKind == JsonValueKind.Object && image.TryGetProperty("RepoTags", out var list) && list.ValueKind == JsonValueKind.Array ? list.EnumerateArray() : Enumerable.Empty<JsonElement>())
            .Where(tag => tag.ValueKind == JsonValueKind.String)
            .Take(MaxNames + 1).Select(tag => tag.ToString()).ToArray();
        return tags.Length <= MaxNames ? tags : throw new FormatException($"'manifest.json' has more than {MaxNames} names.");
    }

    // HOST/NAME:TAG: the host that an image came from is not this registry.
    private static TarName? Read(string text, Digest digest)
    {
        var colon = text.LastIndexOf(':');
        if (colon <= text.LastIndexOf('/'))
            return null;
        var (name, tag) = (text[..colon], text[(colon + 1)..]);
        var slash = name.IndexOf('/', StringComparison.Ordinal);
        if (slash > 0 && name[..slash] is var host && (host == "localhost" || host.AsSpan().IndexOfAny('.', ':') >= 0))
        {
            name = name[(slash + 1)..];
            if (host == DockerHub && name.StartsWith("library/", StringComparison.Ordinal))
                name = name["library/".Length..];
        }
        return RepositoryNames.IsName(name) && RepositoryNames.IsTag(tag) ? new TarName(name, tag, digest) : null;
    }

    private async Task CheckManifestAsync(ManifestDescriptor expected, int level)
    {
        var digest = expected.Digest;
        if (_manifests.ContainsKey(digest))
            return;
        if (level >= MaxLevels || _manifests.Count >= MaxManifests)
            throw new FormatException($"The image has more than {MaxManifests} manifests, or more than {MaxLevels} levels of them.");
        var part = await CheckAsync(expected);
        _manifestBytes += part.Length;
        if (_manifestBytes > MaxManifestBytes)
            throw new FormatException($"The manifests of the images are more than {MaxManifestBytes} bytes together.");
        var bytes = await ReadAsync(part.Offset, part.Length, digest.Text);
        // A manifest that does not say what it is, is what its index says.
        if (!ManifestDocument.TryRead(bytes, expected.MediaType, out var document, out var wrong))
            throw new FormatException($"{digest}: {wrong}");
        _manifests[digest] = new TarManifest(digest, part.Length, document);
        foreach (var blob in document.Blobs)
            await CheckAsync(blob);
        foreach (var child in document.Manifests)
            await CheckManifestAsync(child, level + 1);
    }

    private async Task<ArtifactPart> CheckAsync(ManifestDescriptor expected)
    {
        var digest = expected.Digest;
        if (!_checked.TryGetValue(digest, out var part))
        {
            if (!_files.TryGetValue(BlobFolder + digest.Hex, out var file))
                throw new FormatException($"The tar has no '{BlobFolder}{digest.Hex}', which its image is made of.");
            if (await HashAsync(file.Offset, file.Length) != digest)
                throw new FormatException($"The bytes of '{BlobFolder}{digest.Hex}' have another digest.");
            _checked[digest] = part = new ArtifactPart(digest, file.Offset, file.Length);
        }
        return expected.Size == part.Length ? part : throw new FormatException($"{digest} is {part.Length} bytes long, and said to be {expected.Size}.");
    }

    private async Task<Digest> HashAsync(long offset, long length)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var block = ArrayPool<byte>.Shared.Rent(BlockBytes);
        try
        {
            _tar.Position = offset;
            for (var left = length; left > 0;)
            {
                var count = (int)Math.Min(BlockBytes, left);
                await _tar.ReadExactlyAsync(block.AsMemory(0, count), _cancellation);
                hash.AppendData(block, 0, count);
                left -= count;
            }
            return Digest.FromHash(hash.GetHashAndReset());
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(block);
        }
    }

    private async Task<JsonElement?> ReadJsonAsync(string name) =>
        _files.TryGetValue(name, out var file) ? ManifestDocument.ReadJson(await ReadAsync(file.Offset, file.Length, name), name) : null;

    private async Task<byte[]> ReadAsync(long offset, long length, string name)
    {
        if (length > ManifestDocument.MaxBytes)
            throw new FormatException($"'{name}' is {length} bytes long. Expected at most {ManifestDocument.MaxBytes}.");
        var bytes = new byte[length];
        _tar.Position = offset;
        await _tar.ReadExactlyAsync(bytes, _cancellation);
        return bytes;
    }

    private static string NameOf(ReadOnlySpan<byte> record)
    {
        var name = Field(record[..100]);
        var isUstar = record.Slice(257, 5).SequenceEqual("ustar"u8);
        var prefix = isUstar ? Field(record.Slice(345, 155)) : "";
        var path = prefix.Length > 0 ? $"{prefix}/{name}" : name;
        return path.StartsWith("./", StringComparison.Ordinal) ? path[2..] : path;
    }

    private static string Field(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes.IndexOf((byte)0) is var end and >= 0 ? bytes[..end] : bytes);

    // Octal digits, with spaces and zeros around them.
    private static long? Number(ReadOnlySpan<byte> field)
    {
        var text = field.Trim((byte)' ').TrimEnd((byte)0).TrimEnd((byte)' ');
        long number = 0;
        foreach (var digit in text)
        {
            if (digit is < (byte)'0' or > (byte)'7')
                return null;
            number = number * 8 + (digit - '0');
        }
        return text.Length > 0 ? number : null;
    }

    // Of all bytes, with spaces where the sum itself stands.
    private static long Sum(ReadOnlySpan<byte> record)
    {
        long sum = 0;
        for (var i = 0; i < RecordBytes; i++)
            sum += i is >= 148 and < 156 ? ' ' : record[i];
        return sum;
    }
}
