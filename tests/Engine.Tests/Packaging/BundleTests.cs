using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Packaging;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Bundle;

namespace TinyMLaaS.Engine.Tests.Packaging;

public sealed class BundleTests
{
    private const string Recipe = """
        {"modelName":"key words.onnx","model":{"digest":"sha256:00","size":1,"kind":"onnx"},"steps":[
          {"uses":"compiler/fuse","version":"1","datasets":{},"seed":7,"output":{"digest":"sha256:11","size":2,"kind":"onnx"}},
          {"uses":"compiler/quantize","version":"3","with":{"calibration":"mse"},"datasets":{"calibrate":{"name":"d"}},"seed":8,"output":{"digest":"sha256:22","size":3,"kind":"onnx"}}]}
        """;

    [Fact]
    public void The_manifest_tells_the_digest_and_size_of_every_other_file()
    {
        using var folder = new TemporaryFolder();
        var files = Extract(Run(folder).OutputPath!).ToDictionary(e => e.Name, e => e.Content);

        var manifest = JsonNode.Parse(files["manifest.json"])!;
        Assert.Equal(files.Keys.Where(k => k is not ("manifest.json" or SealedPackage.EntryName)).Order(StringComparer.Ordinal), manifest["files"]!.AsArray().Select(f => (string)f!["path"]!));
        foreach (var file in manifest["files"]!.AsArray())
        {
            var content = files[(string)file!["path"]!];
            Assert.Equal("sha256:" + Convert.ToHexStringLower(SHA256.HashData(content)), (string)file["digest"]!);
            Assert.Equal(content.Length, (long)file["bytes"]!);
        }
        Assert.Equal(File.ReadAllBytes(Path.Combine(folder.Path, "input.onnx")), files["model.onnx"]);
    }

    [Fact]
    public void The_manifest_holds_the_recipe_and_what_a_caller_must_know()
    {
        using var folder = new TemporaryFolder();
        var manifest = JsonNode.Parse(Extract(Run(folder).OutputPath!).Single(e => e.Name == "manifest.json").Content)!;

        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(Recipe), manifest["recipe"]));
        Assert.Equal(1, (int)manifest["formatVersion"]!);
        Assert.Equal("""[{"name":"x","type":"float","shape":["N",3]}]""", manifest["network"]!["inputs"]!.ToJsonString());
        Assert.Equal("""[{"name":"y","type":"float","shape":["N",4]}]""", manifest["network"]!["outputs"]!.ToJsonString());
        Assert.Equal(13, (int)manifest["network"]!["opset"]!);
        Assert.Equal(12, (int)manifest["network"]!["parameters"]!);
        Assert.Equal(12, (int)manifest["network"]!["macs"]!);
    }

    [Fact]
    public void Reports_are_numbered_as_in_the_pipeline_and_summed_up()
    {
        using var folder = new TemporaryFolder();
        var files = Extract(Run(folder).OutputPath!).ToDictionary(e => e.Name, e => e.Content);

        Assert.Equal("""{"before":{"bytes":9}}""", Encoding.UTF8.GetString(files["reports/1-compiler-fuse.json"]));
        Assert.Equal("""{"skipped":[]}""", Encoding.UTF8.GetString(files["reports/2-compiler-quantize.json"]));
        var summary = JsonNode.Parse(files["report.json"])!;
        Assert.Equal("""{"bytes":9}""", summary["before"]!.ToJsonString());
        Assert.Equal(files["model.onnx"].Length, (int)summary["after"]!["bytes"]!);
        Assert.Equal("""[{"uses":"compiler/fuse","report":"reports/1-compiler-fuse.json"},{"uses":"compiler/quantize","report":"reports/2-compiler-quantize.json"}]""", summary["steps"]!.ToJsonString());
    }

    [Fact]
    public void The_archive_tells_nothing_of_the_machine_that_made_it()
    {
        using var one = new TemporaryFolder();
        using var two = new TemporaryFolder();
        var first = Run(one).OutputPath!;
        // Files made later, elsewhere.
        var second = Run(two).OutputPath!;

        Assert.Equal(File.ReadAllBytes(first), File.ReadAllBytes(second));
        Assert.Equal([SealedPackage.EntryName, "manifest.json"], Extract(first).Take(2).Select(e => e.Name));
        Assert.All(Extract(first), e => Assert.Equal((DateTimeOffset.UnixEpoch, 0, 0, "", ""), (e.Time, e.Uid, e.Gid, e.User, e.Group)));
    }

    [Fact]
    public void Is_named_after_the_model_unless_told_otherwise()
    {
        using var folder = new TemporaryFolder();

        Assert.Equal("key-words.onnx.tar.gz", Path.GetFileName(Run(folder).OutputPath));
        Assert.Equal("kws-1.2.tar.gz", Path.GetFileName(Run(folder, """{"name":"kws-1.2"}""").OutputPath));
    }

    [Theory]
    [InlineData("")]
    [InlineData("../up")]
    [InlineData(".hidden")]
    [InlineData("a b")]
    [InlineData("0123456789012345678901234567890123456789012345678901234567890123x")]
    public void Refuses_names_that_are_none(string name)
    {
        using var folder = new TemporaryFolder();

        var refused = Assert.Throws<TransformRejectedException>(() => Run(folder, JsonSerializer.Serialize(new { name })));

        Assert.Equal("invalid-option", refused.Code);
        Assert.Contains("'name'", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_what_is_no_network()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("broken.onnx", "no network");

        var refused = Assert.Throws<TransformRejectedException>(() => new Bundle(PackageSigner.Development).Transform(
            new TransformRequest { InputPath = path, InputKind = "onnx", WorkFolder = folder.Path }, new Progress<TransformProgress>(), TestContext.Current.CancellationToken));

        Assert.Equal("invalid-model", refused.Code);
    }

    private static TransformResult Run(TemporaryFolder folder, string? options = null)
    {
        var input = folder.Write("input.onnx", OnnxFile.ToBytes(GraphText.Parse("in x: float[N,3]\nconst w: float[3,4] ~ 1\ny = MatMul(x, w)\nout y")));
        return new Bundle(PackageSigner.Development).Transform(
            new TransformRequest
            {
                InputPath = input,
                InputKind = "onnx",
                WorkFolder = folder.Folder("work"),
                Options = options is null ? null : JsonSerializer.Deserialize<JsonElement>(options),
                History = new TransformHistory
                {
                    ModelName = "key words.onnx",
                    Recipe = (JsonObject)JsonNode.Parse(Recipe)!,
                    ReportPaths = [folder.Write("r1", """{"before":{"bytes":9}}"""), folder.Write("r2", """{"skipped":[]}""")],
                },
            },
            new Progress<TransformProgress>(),
            TestContext.Current.CancellationToken);
    }

    private static List<(string Name, byte[] Content, DateTimeOffset Time, int Uid, int Gid, string User, string Group)> Extract(string archive)
    {
        using var stream = File.OpenRead(archive);
        using var zip = new GZipStream(stream, CompressionMode.Decompress);
        using var tar = new TarReader(zip);
        var files = new List<(string, byte[], DateTimeOffset, int, int, string, string)>();
        while (tar.GetNextEntry(copyData: true) is UstarTarEntry entry)
        {
            using var content = new MemoryStream();
            entry.DataStream?.CopyTo(content);
            files.Add((entry.Name, content.ToArray(), entry.ModificationTime, entry.Uid, entry.Gid, entry.UserName, entry.GroupName));
        }
        return files;
    }
}
