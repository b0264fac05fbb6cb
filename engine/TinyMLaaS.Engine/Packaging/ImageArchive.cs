using System.Formats.Tar;
using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>An image for one kind of machine.</summary>
/// <param name="Architecture">As Go and OCI name it: <c>amd64</c> or <c>arm64</c>.</param>
/// <param name="Config">What a container of it is started with: the member <c>config</c> of the image's configuration.</param>
/// <param name="Layers">From the lowest to the highest, each with what it is for.</param>
internal sealed record Image(string Architecture, JsonObject Config, IReadOnlyList<(ImageLayer Layer, string Purpose)> Layers);

/// <summary>
/// Writes images as one tar that every tool takes: it is an OCI image layout (image-layout.md of OCI Image Format 1.1), and a docker-archive whose <c>manifest.json</c> names the same blobs, which is
/// what <c>docker load</c> of before version 25 asks for. No daemon is needed, and the same images give the same bytes.
/// </summary>
internal static class ImageArchive
{
    /// <summary>Media type of a manifest.</summary>
    public const string Manifest = "application/vnd.oci.image.manifest.v1+json";

    /// <summary>Media type of an index of several manifests.</summary>
    public const string Index = "application/vnd.oci.image.index.v1+json";

    private const string Configuration = "application/vnd.oci.image.config.v1+json";
    private const string Epoch = "1970-01-01T00:00:00Z";

    /// <summary>Writes an archive, replacing what is there.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="name">Its name without a tag, e.g. <c>factory/keywords</c>.</param>
    /// <param name="tag">Its tag.</param>
    /// <param name="images">One for each kind of machine; <c>docker load</c> of before version 25 takes the first.</param>
    /// <param name="annotations">What is said of the image, by OCI's names.</param>
    /// <param name="cancellation">Ends it early.</param>
    /// <returns>The digest that a registry gives the image: of its manifest, or of the index of several.</returns>
    public static string Write(string path, string name, string tag, IReadOnlyList<Image> images, IReadOnlyDictionary<string, string> annotations, CancellationToken cancellation)
    {
        var blobs = new SortedDictionary<string, PackageFile>(StringComparer.Ordinal);
        var configurations = images.Select(i => Keep(blobs, PackageJson.Bytes(ConfigurationOf(i)))).ToArray();
        var manifests = images.Select((image, i) => Described(Keep(blobs, PackageJson.Bytes(ManifestOf(image, configurations[i], annotations))), Manifest, image)).ToArray();
        foreach (var (layer, _) in images.SelectMany(i => i.Layers))
            blobs[layer.Digest] = PackageFile.FromDisk(BlobPath(layer.Digest), layer.Path);
        var top = manifests.Length == 1
            ? manifests[0]
            : Described(Keep(blobs, PackageJson.Bytes(IndexOf(manifests, annotations))), Index, null);
        var digest = (string)top["digest"]!;
        var named = (JsonObject)top.DeepClone();
        named["annotations"] = new JsonObject { ["io.containerd.image.name"] = $"docker.io/{(name.Contains('/', StringComparison.Ordinal) ? name : "library/" + name)}:{tag}", ["org.opencontainers.image.ref.name"] = tag };
        var files = new List<PackageFile>(blobs.Values)
        {
            PackageFile.FromMemory("index.json", PackageJson.Bytes(IndexOf([named], new Dictionary<string, string>()))),
            PackageFile.FromMemory("manifest.json", PackageJson.Bytes(new JsonArray(new JsonObject
            {
                ["Config"] = BlobPath(configurations[0].Digest),
                ["RepoTags"] = new JsonArray($"{name}:{tag}"),
                ["Layers"] = new JsonArray([.. images[0].Layers.Select(l => JsonValue.Create(BlobPath(l.Layer.Digest)))]),
            }))),
            PackageFile.FromMemory("oci-layout", PackageJson.Bytes(new JsonObject { ["imageLayoutVersion"] = "1.0.0" })),
        };
        using var stream = File.Create(path);
        using var tar = new TarWriter(stream, TarEntryFormat.Ustar);
        foreach (var file in files.OrderBy(f => f.Path, StringComparer.Ordinal))
        {
            cancellation.ThrowIfCancellationRequested();
            PackageEntry.Write(tar, file);
        }
        return digest;
    }

    private static string BlobPath(string digest) => "blobs/sha256/" + digest["sha256:".Length..];

    private static PackageFile Keep(SortedDictionary<string, PackageFile> blobs, byte[] content)
    {
        var digest = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(content));
        return blobs[digest] = PackageFile.FromMemory(BlobPath(digest), content);
    }

    private static JsonObject Described(PackageFile blob, string mediaType, Image? image)
    {
        var descriptor = new JsonObject { ["mediaType"] = mediaType, ["digest"] = blob.Digest, ["size"] = blob.Bytes };
        if (image is not null)
            descriptor["platform"] = new JsonObject { ["architecture"] = image.Architecture, ["os"] = "linux" };
        return descriptor;
    }

    private static JsonObject IndexOf(IReadOnlyList<JsonObject> manifests, IReadOnlyDictionary<string, string> annotations)
    {
        var index = new JsonObject { ["schemaVersion"] = 2, ["mediaType"] = Index, ["manifests"] = new JsonArray([.. manifests.Select(m => m.DeepClone())]) };
        if (annotations.Count > 0)
            index["annotations"] = Annotations(annotations);
        return index;
    }

    private static JsonObject ManifestOf(Image image, PackageFile configuration, IReadOnlyDictionary<string, string> annotations)
    {
        var manifest = new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = Manifest,
            ["config"] = Described(configuration, Configuration, null),
            ["layers"] = new JsonArray([.. image.Layers.Select(l => new JsonObject { ["mediaType"] = l.Layer.MediaType, ["digest"] = l.Layer.Digest, ["size"] = l.Layer.Bytes })]),
        };
        if (annotations.Count > 0)
            manifest["annotations"] = Annotations(annotations);
        return manifest;
    }

    private static JsonObject Annotations(IReadOnlyDictionary<string, string> annotations) =>
        new(annotations.OrderBy(a => a.Key, StringComparer.Ordinal).Select(a => KeyValuePair.Create(a.Key, (JsonNode?)a.Value)));

    private static JsonObject ConfigurationOf(Image image) => new()
    {
        ["created"] = Epoch,
        ["architecture"] = image.Architecture,
        ["os"] = "linux",
        ["config"] = image.Config.DeepClone(),
        ["rootfs"] = new JsonObject { ["type"] = "layers", ["diff_ids"] = new JsonArray([.. image.Layers.Select(l => JsonValue.Create(l.Layer.DiffId))]) },
        ["history"] = new JsonArray([.. image.Layers.Select(l => new JsonObject { ["created"] = Epoch, ["created_by"] = l.Purpose })]),
    };
}
