using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Packaging;

namespace TinyMLaaS.Engine.Tests.Packaging;

/// <summary>Images as files: read back with nothing of what wrote them.</summary>
public sealed class ImageArchiveTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Everything_in_an_archive_is_named_by_its_content_and_can_be_reached()
    {
        var digest = Write(_folder.Path, "amd64");
        var files = Read(Path.Combine(_folder.Path, "image.tar"));

        Assert.Equal("""{"imageLayoutVersion":"1.0.0"}""", JsonNode.Parse(files["oci-layout"])!.ToJsonString());
        Assert.All(files.Where(f => f.Key.StartsWith("blobs/", StringComparison.Ordinal)), f => Assert.Equal(f.Key, "blobs/sha256/" + Hash(f.Value)));
        var top = Assert.Single(JsonNode.Parse(files["index.json"])!["manifests"]!.AsArray())!;
        Assert.Equal((digest, "1", "docker.io/library/keywords:1"), ((string?)top["digest"], (string?)top["annotations"]!["org.opencontainers.image.ref.name"], (string?)top["annotations"]!["io.containerd.image.name"]));
        var manifest = JsonNode.Parse(Blob(files, top))!;
        var configuration = JsonNode.Parse(Blob(files, manifest["config"]!))!;
        Assert.Equal(("amd64", "linux", "65532:65532"), ((string?)configuration["architecture"], (string?)configuration["os"], (string?)configuration["config"]!["User"]));
        var layers = manifest["layers"]!.AsArray().Select(l => Unzip(Blob(files, l!))).ToArray();
        Assert.Equal(configuration["rootfs"]!["diff_ids"]!.AsArray().Select(d => (string?)d), layers.Select(l => "sha256:" + Hash(l)));
        Assert.Equal("a recipe", (string?)manifest["annotations"]!["org.tinymlaas.recipe"]);
        // And as older versions of Docker read it.
        var archive = Assert.Single(JsonNode.Parse(files["manifest.json"])!.AsArray())!;
        Assert.Equal("keywords:1", (string?)archive["RepoTags"]![0]);
        Assert.Equal("blobs/sha256/" + ((string)manifest["config"]!["digest"]!)[7..], (string?)archive["Config"]);
        Assert.Equal(manifest["layers"]!.AsArray().Select(l => "blobs/sha256/" + ((string)l!["digest"]!)[7..]), archive["Layers"]!.AsArray().Select(l => (string?)l));
    }

    [Fact]
    public void A_layer_holds_its_entries_in_order_under_their_folders()
    {
        var layer = ImageLayer.Write(Path.Combine(_folder.Path, "layer"), Runtime, CancellationToken.None);

        using var tar = new TarReader(new MemoryStream(Unzip(File.ReadAllBytes(layer.Path))));
        var entries = new List<string>();
        while (tar.GetNextEntry() is { } entry)
        {
            entries.Add($"{entry.EntryType} {Convert.ToString((int)entry.Mode, 8)} {entry.Name} {entry.LinkName}".TrimEnd());
            Assert.Equal((0, 0, DateTimeOffset.UnixEpoch), (entry.Uid, entry.Gid, entry.ModificationTime));
        }
        Assert.Equal(
        [
            "Directory 755 lib/", "RegularFile 644 lib/libc.so.6", "Directory 755 lib64/", "SymbolicLink 777 lib64/ld.so ../lib/libc.so.6", "Directory 755 server/", "RegularFile 755 server/serve", "Directory 1777 tmp/",
        ], entries);
        Assert.Equal((new FileInfo(layer.Path).Length, 7), (layer.Bytes, layer.UnpackedBytes));
    }

    [Fact]
    public void The_same_image_has_the_same_bytes_wherever_and_in_whatever_order_it_is_written()
    {
        var (one, other) = (Directory.CreateDirectory(Path.Combine(_folder.Path, "one")).FullName, Directory.CreateDirectory(Path.Combine(_folder.Path, "other")).FullName);

        Assert.Equal(Write(one, "amd64", "arm64"), Write(other, "amd64", "arm64"));
        Assert.Equal(File.ReadAllBytes(Path.Combine(one, "image.tar")), File.ReadAllBytes(Path.Combine(other, "image.tar")));
    }

    [Fact]
    public void An_image_for_several_kinds_of_machines_is_an_index()
    {
        var digest = Write(_folder.Path, "amd64", "arm64");
        var files = Read(Path.Combine(_folder.Path, "image.tar"));

        var top = Assert.Single(JsonNode.Parse(files["index.json"])!["manifests"]!.AsArray())!;
        Assert.Equal((digest, "application/vnd.oci.image.index.v1+json"), ((string?)top["digest"], (string?)top["mediaType"]));
        var manifests = JsonNode.Parse(Blob(files, top))!["manifests"]!.AsArray();
        Assert.Equal(["amd64", "arm64"], manifests.Select(m => (string?)m!["platform"]!["architecture"]));
        Assert.Equal(["amd64", "arm64"], manifests.Select(m => (string?)JsonNode.Parse(Blob(files, JsonNode.Parse(Blob(files, m!))!["config"]!))!["architecture"]));
    }

    [Fact]
    public void A_path_that_is_there_twice_is_refused() =>
        Assert.StartsWith("'tmp' is there twice.", Assert.Throws<ArgumentException>(() => ImageLayer.Write(Path.Combine(_folder.Path, "layer"), [.. Runtime, ImageEntry.Folder("tmp")], CancellationToken.None)).Message, StringComparison.Ordinal);

    private static IReadOnlyList<ImageEntry> Runtime =>
    [
        ImageEntry.SharedFolder("tmp"), ImageEntry.Program("server/serve", PackageFile.FromMemory("serve", "serve"u8.ToArray())), ImageEntry.Link("lib64/ld.so", "../lib/libc.so.6"),
        ImageEntry.File("lib/libc.so.6", PackageFile.FromMemory("libc", "so"u8.ToArray())),
    ];

    private static string Write(string folder, params string[] architectures)
    {
        var runtime = ImageLayer.Write(Path.Combine(folder, "runtime"), architectures.Length > 1 && folder.EndsWith("other", StringComparison.Ordinal) ? Runtime.Reverse() : Runtime, CancellationToken.None);
        var model = ImageLayer.Write(Path.Combine(folder, "model"), [ImageEntry.File("models/net.onnx", PackageFile.FromMemory("net", "network"u8.ToArray()))], CancellationToken.None);
        return ImageArchive.Write(
            Path.Combine(folder, "image.tar"), "keywords", "1",
            [.. architectures.Select(a => new Image(a, new JsonObject { ["User"] = "65532:65532" }, [(runtime, "runtime"), (model, "model")]))],
            new Dictionary<string, string> { ["org.tinymlaas.recipe"] = "a recipe" }, CancellationToken.None);
    }

    private static Dictionary<string, byte[]> Read(string archive)
    {
        var files = new Dictionary<string, byte[]>();
        using var tar = new TarReader(File.OpenRead(archive));
        while (tar.GetNextEntry() is { } entry)
        {
            using var content = new MemoryStream();
            entry.DataStream?.CopyTo(content);
            files.Add(entry.Name, content.ToArray());
        }
        return files;
    }

    private static byte[] Blob(Dictionary<string, byte[]> files, JsonNode descriptor)
    {
        var content = files["blobs/sha256/" + ((string)descriptor["digest"]!)["sha256:".Length..]];
        Assert.Equal(content.Length, (int)descriptor["size"]!);
        return content;
    }

    private static byte[] Unzip(byte[] content)
    {
        using var zip = new GZipStream(new MemoryStream(content), CompressionMode.Decompress);
        using var plain = new MemoryStream();
        zip.CopyTo(plain);
        return plain.ToArray();
    }

    private static string Hash(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));
}
