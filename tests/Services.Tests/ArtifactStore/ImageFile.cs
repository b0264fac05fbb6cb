using System.Formats.Tar;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>
/// An image as <c>installer/container</c> writes it: an OCI image layout and a docker-archive in one tar that is not compressed. Every part may be changed before it is written, to be a wrong one.
/// </summary>
internal sealed class ImageFile
{
    public const string Manifest = "application/vnd.oci.image.manifest.v1+json";
    public const string Index = "application/vnd.oci.image.index.v1+json";
    public const string Config = "application/vnd.oci.image.config.v1+json";
    public const string Layer = "application/vnd.oci.image.layer.v1.tar+gzip";

    /// <param name="name">Name and tag.</param>
    /// <param name="platforms">One image for each; with several, an index of them.</param>
    /// <param name="layerBytes">How long each layer is.</param>
    public ImageFile(string name = "factory/keywords:1", int platforms = 1, int layerBytes = 5000)
    {
        var manifests = Enumerable.Range(0, platforms).Select(i => Image(name, i, layerBytes)).ToArray();
        var top = platforms == 1 ? manifests[0] : Described(Index, Bytes(new JsonObject { ["schemaVersion"] = 2, ["mediaType"] = Index, ["manifests"] = new JsonArray([.. manifests.Select(m => m.DeepClone())]) }));
        (Digest, MediaType) = ((string)top["digest"]!, (string)top["mediaType"]!);
        Tag = name.Split(':')[1];
        var named = (JsonObject)top.DeepClone();
        named["annotations"] = new JsonObject { ["org.opencontainers.image.ref.name"] = Tag };
        Files["index.json"] = Bytes(new JsonObject { ["schemaVersion"] = 2, ["manifests"] = new JsonArray(named) });
        var first = Json(Blob((string)manifests[0]["digest"]!));
        Files["manifest.json"] = Bytes(new JsonArray(new JsonObject
        {
            ["Config"] = Path((string)first["config"]!["digest"]!),
            ["RepoTags"] = new JsonArray(name),
            ["Layers"] = new JsonArray([.. first["layers"]!.AsArray().Select(l => JsonValue.Create(Path((string)l!["digest"]!)))]),
        }));
        Files["oci-layout"] = Bytes(new JsonObject { ["imageLayoutVersion"] = "1.0.0" });
    }

    /// <summary>What a registry calls it.</summary>
    public string Digest { get; }

    public string MediaType { get; }

    public string Tag { get; }

    /// <summary>The files of the tar by their names.</summary>
    public SortedDictionary<string, byte[]> Files { get; } = new(StringComparer.Ordinal);

    /// <summary>Digests of all blobs.</summary>
    public IEnumerable<string> Blobs => Files.Keys.Where(f => f.StartsWith("blobs/", StringComparison.Ordinal)).Select(f => "sha256:" + f["blobs/sha256/".Length..]);

    /// <summary>A layer of the first platform.</summary>
    public string FirstLayer { get; private set; } = "";

    public static string Path(string digest) => "blobs/sha256/" + digest["sha256:".Length..];

    public static string DigestOf(byte[] bytes) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes));

    public static byte[] Bytes(JsonNode json) => Encoding.UTF8.GetBytes(json.ToJsonString());

    public static JsonNode Json(byte[] bytes) => JsonNode.Parse(bytes)!;

    public static JsonObject Descriptor(string mediaType, byte[] content) => new() { ["mediaType"] = mediaType, ["digest"] = DigestOf(content), ["size"] = content.Length };

    public byte[] Blob(string digest) => Files[Path(digest)];

    /// <summary>The tar; the same bytes each time.</summary>
    public byte[] Write()
    {
        using var stream = new MemoryStream();
        using (var tar = new TarWriter(stream, TarEntryFormat.Ustar, leaveOpen: true))
        {
            foreach (var (name, content) in Files)
                tar.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(content), ModificationTime = DateTimeOffset.UnixEpoch });
        }
        return stream.ToArray();
    }

    private JsonObject Image(string name, int platform, int layerBytes)
    {
        var architecture = platform == 0 ? "amd64" : $"arm64-{platform}";
        // The lowest layer is in all of them.
        var layers = new[] { Noise(layerBytes, name, 0), Noise(layerBytes, name, platform + 1) }.Select(l => Described(Layer, l)).ToArray();
        if (platform == 0)
            FirstLayer = (string)layers[0]["digest"]!;
        var config = Described(Config, Bytes(new JsonObject { ["architecture"] = architecture, ["os"] = "linux", ["config"] = new JsonObject(), ["rootfs"] = new JsonObject { ["type"] = "layers", ["diff_ids"] = new JsonArray() } }));
        var manifest = Described(Manifest, Bytes(new JsonObject { ["schemaVersion"] = 2, ["mediaType"] = Manifest, ["config"] = config, ["layers"] = new JsonArray([.. layers]) }));
        manifest["platform"] = new JsonObject { ["architecture"] = architecture, ["os"] = "linux" };
        return manifest;
    }

    private JsonObject Described(string mediaType, byte[] content)
    {
        Files[Path(DigestOf(content))] = content;
        return Descriptor(mediaType, content);
    }

    private static byte[] Noise(int length, string name, int seed)
    {
        var bytes = new byte[length];
        new Random(seed + name.Sum(c => c)).NextBytes(bytes);
        return bytes;
    }
}
