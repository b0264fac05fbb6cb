using System.Formats.Tar;
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
        var image = ImageFile.Read(Path.Combine(_folder.Path, "image.tar"));

        Assert.Equal("""{"imageLayoutVersion":"1.0.0"}""", JsonNode.Parse(image.Files["oci-layout"])!.ToJsonString());
        Assert.All(image.Files.Where(f => f.Key.StartsWith("blobs/", StringComparison.Ordinal)), f => Assert.Equal(f.Key, "blobs/sha256/" + ImageFile.Hash(f.Value)));
        var annotations = image.Top["annotations"]!;
        Assert.Equal((digest, "1", "docker.io/library/keywords:1"), ((string?)image.Top["digest"], (string?)annotations["org.opencontainers.image.ref.name"], (string?)annotations["io.containerd.image.name"]));
        var manifest = image.Json(image.Top);
        var configuration = image.Json(manifest["config"]!);
        Assert.Equal(("amd64", "linux", "65532:65532"), ((string?)configuration["architecture"], (string?)configuration["os"], (string?)configuration["config"]!["User"]));
        Assert.Equal(configuration["rootfs"]!["diff_ids"]!.AsArray().Select(d => (string?)d), manifest["layers"]!.AsArray().Select(l => "sha256:" + ImageFile.Hash(ImageFile.Unzip(image.Blob(l!)))));
        Assert.Equal("a recipe", (string?)manifest["annotations"]!["org.tinymlaas.recipe"]);
        // And as older versions of Docker read it.
        var archive = Assert.Single(JsonNode.Parse(image.Files["manifest.json"])!.AsArray())!;
        Assert.Equal("keywords:1", (string?)archive["RepoTags"]![0]);
        Assert.Equal("blobs/sha256/" + ((string)manifest["config"]!["digest"]!)[7..], (string?)archive["Config"]);
        Assert.Equal(manifest["layers"]!.AsArray().Select(l => "blobs/sha256/" + ((string)l!["digest"]!)[7..]), archive["Layers"]!.AsArray().Select(l => (string?)l));
    }

    [Fact]
    public void A_layer_holds_its_files_in_order_under_their_folders()
    {
        var layer = ImageLayer.Write(Path.Combine(_folder.Path, "layer"), Runtime, CancellationToken.None);

        using var tar = new TarReader(new MemoryStream(ImageFile.Unzip(File.ReadAllBytes(layer.Path))));
        var entries = new List<string>();
        while (tar.GetNextEntry() is { } entry)
        {
            entries.Add($"{entry.EntryType} {Convert.ToString((int)entry.Mode, 8)} {entry.Name}");
            Assert.Equal((0, 0, DateTimeOffset.UnixEpoch), (entry.Uid, entry.Gid, entry.ModificationTime));
        }
        Assert.Equal(["Directory 755 lib/", "RegularFile 644 lib/libc.so.6", "Directory 755 server/", "Directory 755 server/etc/", "RegularFile 644 server/etc/serve", "RegularFile 644 server/serve"], entries);
        Assert.Equal((new FileInfo(layer.Path).Length, 8), (layer.Bytes, layer.UnpackedBytes));
    }

    [Fact]
    public void A_layer_is_read_as_it_was_written()
    {
        var path = Path.Combine(_folder.Path, "layer");
        var layer = ImageLayer.Write(path, Runtime, CancellationToken.None);
        var paths = new List<string>();

        Assert.Equal(layer, ImageLayer.Read(path, ImageLayer.Compressed, paths.Add, CancellationToken.None));
        Assert.Equal(["lib/", "lib/libc.so.6", "server/", "server/etc/", "server/etc/serve", "server/serve"], paths);
        File.WriteAllBytes(path + ".tar", ImageFile.Unzip(File.ReadAllBytes(path)));
        var plain = ImageLayer.Read(path + ".tar", ImageLayer.Plain, null, CancellationToken.None);
        Assert.Equal((layer.DiffId, layer.DiffId, new FileInfo(path + ".tar").Length), (plain.DiffId, plain.Digest, plain.Bytes));
        Assert.Throws<InvalidDataException>(() => ImageLayer.Read(path + ".tar", ImageLayer.Compressed, null, CancellationToken.None));
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
        var image = ImageFile.Read(Path.Combine(_folder.Path, "image.tar"));

        Assert.Equal((digest, "application/vnd.oci.image.index.v1+json"), ((string?)image.Top["digest"], (string?)image.Top["mediaType"]));
        var manifests = image.Json(image.Top)["manifests"]!.AsArray();
        Assert.Equal(["amd64", "arm64"], manifests.Select(m => (string?)m!["platform"]!["architecture"]));
        Assert.Equal(["amd64", "arm64"], manifests.Select(m => (string?)image.Json(image.Json(m!)["config"]!)["architecture"]));
    }

    [Fact]
    public void A_path_that_is_there_twice_is_refused() =>
        Assert.StartsWith("'server/serve' is there twice.", Assert.Throws<ArgumentException>(() => ImageLayer.Write(Path.Combine(_folder.Path, "layer"), [.. Runtime, Runtime[0]], CancellationToken.None)).Message, StringComparison.Ordinal);

    private static IReadOnlyList<PackageFile> Runtime =>
        [PackageFile.FromMemory("server/serve", "serve"u8.ToArray()), PackageFile.FromMemory("lib/libc.so.6", "so"u8.ToArray()), PackageFile.FromMemory("server/etc/serve", "="u8.ToArray())];

    private static string Write(string folder, params string[] architectures)
    {
        var runtime = ImageLayer.Write(Path.Combine(folder, "runtime"), architectures.Length > 1 && folder.EndsWith("other", StringComparison.Ordinal) ? Runtime.Reverse() : Runtime, CancellationToken.None);
        var model = ImageLayer.Write(Path.Combine(folder, "model"), [PackageFile.FromMemory("models/net.onnx", "network"u8.ToArray())], CancellationToken.None);
        return ImageArchive.Write(
            Path.Combine(folder, "image.tar"), "keywords", "1",
            [.. architectures.Select(a => new Image(a, new JsonObject { ["User"] = "65532:65532" }, [(runtime, "runtime"), (model, "model")]))],
            new Dictionary<string, string> { ["org.tinymlaas.recipe"] = "a recipe" }, CancellationToken.None);
    }
}
