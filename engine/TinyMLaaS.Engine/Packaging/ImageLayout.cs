using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>Reads an image from a folder that is an OCI image layout (image-layout.md of OCI Image Format 1.1), believing no digest and no size that it states.</summary>
internal static class ImageLayout
{
    private const int LargestDocument = 4 << 20;

    /// <summary>The image for one kind of machine, and the digest that a registry gives it: of the manifest or the index that the folder's one entry names.</summary>
    /// <param name="folder">Holds <c>oci-layout</c>, <c>index.json</c> and <c>blobs</c>.</param>
    /// <param name="architecture">As OCI names it: <c>amd64</c> or <c>arm64</c>.</param>
    /// <param name="entry">Told the path of everything in the layers, from the lowest on.</param>
    /// <param name="cancellation">Ends it early.</param>
    /// <exception cref="InvalidDataException">The folder holds no such image, or one that cannot be built on; the message says why.</exception>
    public static (Image Image, string Digest) Read(string folder, string architecture, Action<string> entry, CancellationToken cancellation)
    {
        try
        {
            if (!File.Exists(Path.Combine(folder, "oci-layout")) || Parse(Document(Path.Combine(folder, "index.json"))) is not { } index)
                throw new InvalidDataException($"'{folder}' is no OCI image layout: it needs the files 'oci-layout' and 'index.json'.");
            var top = Members(index, "manifests") is [{ } one] ? one : throw new InvalidDataException($"'{folder}' holds {Members(index, "manifests").Count} images, expected one.");
            var manifest = Blob(folder, top);
            if (Text(manifest, "mediaType") == ImageArchive.Index || Text(top, "mediaType") == ImageArchive.Index)
            {
                var platforms = Members(manifest, "manifests");
                manifest = platforms.FirstOrDefault(m => Text(m["platform"], "os") == "linux" && Text(m["platform"], "architecture") == architecture) is { } fitting
                    ? Blob(folder, fitting)
                    : throw new InvalidDataException($"'{folder}' holds no image for linux/{architecture}: it has {string.Join(", ", platforms.Select(m => $"{Text(m["platform"], "os")}/{Text(m["platform"], "architecture")}"))}.");
            }
            var configuration = Blob(folder, manifest["config"]);
            if ((Text(configuration, "os"), Text(configuration, "architecture")) != ("linux", architecture))
                throw new InvalidDataException($"'{folder}' is for {Text(configuration, "os")}/{Text(configuration, "architecture")}, expected linux/{architecture}.");
            var diffIds = Members(configuration["rootfs"], "diff_ids");
            var descriptors = Members(manifest, "layers");
            if (diffIds.Count != descriptors.Count)
                throw new InvalidDataException($"'{folder}' has {descriptors.Count} layers and {diffIds.Count} diff_ids.");
            var layers = new List<(ImageLayer, string)>();
            foreach (var (descriptor, diffId) in descriptors.Zip(diffIds))
            {
                var mediaType = Text(descriptor, "mediaType");
                if (mediaType is not (ImageLayer.Plain or ImageLayer.Compressed))
                    throw new InvalidDataException($"'{folder}' has a layer of type '{mediaType}', expected {ImageLayer.Compressed} or {ImageLayer.Plain}.");
                var layer = ImageLayer.Read(PathOf(folder, descriptor), mediaType, entry, cancellation);
                Expect(folder, descriptor, layer.Digest, layer.Bytes);
                if (layer.DiffId != diffId.ToString())
                    throw new InvalidDataException($"'{folder}' is damaged: the layer {layer.Digest} holds {layer.DiffId}, expected {diffId}.");
                layers.Add((layer, "base"));
            }
            return (new Image(architecture, configuration["config"] as JsonObject ?? [], layers), Text(top, "digest")!);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidDataException($"'{folder}' cannot be read: {error.Message}", error);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw new InvalidDataException($"'{folder}' is damaged: {error.Message}", error);
        }
    }

    private static JsonNode Blob(string folder, JsonNode? descriptor)
    {
        var content = Document(PathOf(folder, descriptor));
        Expect(folder, descriptor, "sha256:" + Convert.ToHexStringLower(SHA256.HashData(content)), content.Length);
        return Parse(content);
    }

    private static JsonNode Parse(byte[] content) => JsonNode.Parse(content, documentOptions: new JsonDocumentOptions { MaxDepth = 32 }) ?? throw new JsonException("null, expected an object.");

    private static byte[] Document(string path)
    {
        using var stream = File.OpenRead(path);
        if (stream.Length > LargestDocument)
            throw new InvalidDataException($"'{path}' has {stream.Length} bytes, expected a document of {LargestDocument} at most.");
        var content = new byte[stream.Length];
        stream.ReadExactly(content);
        return content;
    }

    private static void Expect(string folder, JsonNode? descriptor, string digest, long bytes)
    {
        if (Text(descriptor, "digest") != digest || (long?)descriptor!["size"] != bytes)
            throw new InvalidDataException($"'{folder}' is damaged: {Text(descriptor, "digest")} of {descriptor!["size"]} bytes is {digest} of {bytes}.");
    }

    private static string PathOf(string folder, JsonNode? descriptor) =>
        Text(descriptor, "digest") is { } digest && digest.StartsWith("sha256:", StringComparison.Ordinal) && digest[7..] is { Length: 64 } hex && hex.All(char.IsAsciiHexDigitLower)
            ? Path.Combine(folder, "blobs", "sha256", hex)
            : throw new InvalidDataException($"'{folder}' names a blob '{Text(descriptor, "digest")}', expected sha256: and 64 hexadecimal digits.");

    private static string? Text(JsonNode? node, string member) => node?[member]?.ToString();

    private static IReadOnlyList<JsonNode> Members(JsonNode? node, string member) => node?[member] is JsonArray array ? [.. array.Where(m => m is not null).Select(m => m!)] : [];
}
