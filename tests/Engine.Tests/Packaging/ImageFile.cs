using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Engine.Tests.Packaging;

/// <summary>An image as a file, read with nothing of what writes it.</summary>
internal sealed class ImageFile
{
    private ImageFile(Dictionary<string, byte[]> files) => Files = files;

    public Dictionary<string, byte[]> Files { get; }

    /// <summary>The one entry of <c>index.json</c>.</summary>
    public JsonNode Top => Assert.Single(JsonNode.Parse(Files["index.json"])!["manifests"]!.AsArray())!;

    public static ImageFile Read(string archive)
    {
        var files = new Dictionary<string, byte[]>();
        using var stream = File.OpenRead(archive);
        using var tar = new TarReader(stream);
        while (tar.GetNextEntry() is { } entry)
        {
            using var content = new MemoryStream();
            entry.DataStream?.CopyTo(content);
            files.Add(entry.Name, content.ToArray());
        }
        return new ImageFile(files);
    }

    public byte[] Blob(JsonNode descriptor)
    {
        var content = Files["blobs/sha256/" + ((string)descriptor["digest"]!)["sha256:".Length..]];
        Assert.Equal(content.Length, (int)descriptor["size"]!);
        return content;
    }

    public JsonNode Json(JsonNode descriptor) => JsonNode.Parse(Blob(descriptor))!;

    /// <summary>What the layers of an image hold, by path; the later layer wins.</summary>
    public Dictionary<string, byte[]> Root(JsonNode manifest)
    {
        var root = new Dictionary<string, byte[]>();
        foreach (var layer in manifest["layers"]!.AsArray())
        {
            using var tar = new TarReader(new MemoryStream(Unzip(Blob(layer!))));
            while (tar.GetNextEntry() is { } entry)
            {
                using var content = new MemoryStream();
                entry.DataStream?.CopyTo(content);
                root[entry.Name] = content.ToArray();
            }
        }
        return root;
    }

    public static byte[] Unzip(byte[] content)
    {
        using var zip = new GZipStream(new MemoryStream(content), CompressionMode.Decompress);
        using var plain = new MemoryStream();
        zip.CopyTo(plain);
        return plain.ToArray();
    }

    public static string Hash(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));
}
