using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Packaging;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Container;

namespace TinyMLaaS.Engine.Tests.Packaging;

/// <summary><c>installer/container</c> with a model server that is only files: what is in an image. That images run is tested with the real one.</summary>
public sealed class ContainerTests : IDisposable
{
    private const string Recipe = """{"modelName":"Key Words","model":{"digest":"sha256:00","size":1,"kind":"onnx"},"steps":[]}""";

    private readonly TemporaryFolder _folder = new();
    private int _works;

    public ContainerTests()
    {
        Server("linux-x64", "amd64");
        Server("linux-arm64", "arm64");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Holds_libraries_server_and_network_each_in_its_layer()
    {
        var result = Run();
        var image = ImageFile.Read(result.OutputPath!);
        var manifest = image.Json(image.Top);
        var network = File.ReadAllBytes(Path.Combine(_folder.Path, "input.onnx"));
        var digest = "sha256:" + ImageFile.Hash(network);

        Assert.Equal(3, manifest["layers"]!.AsArray().Count);
        Assert.Equal((string?)image.Top["digest"], (string?)result.Report["digest"]);
        var root = image.Root(manifest);
        Assert.Equal("amd64 program"u8.ToArray(), root["app/model-server"]);
        Assert.Equal("amd64 libc"u8.ToArray(), root["lib/libc.so.6"]);
        Assert.Equal(network, root["models/key-words.onnx"]);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse($$"""{"models":[{"name":"key-words","file":"key-words.onnx","digest":"{{digest}}"}]}"""), JsonNode.Parse(root["models/models.json"])));
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(Recipe), JsonNode.Parse(root["package/recipe.json"])));
        Assert.Equal($"key-words:{digest[7..19]}", (string?)result.Report["image"]);
        Assert.Equal(root.Values.Sum(f => f.Length), (long)result.Report["platforms"]![0]!["unpackedBytes"]!);
    }

    [Fact]
    public void Starts_the_server_as_nobody_and_asks_it_for_its_health()
    {
        var image = ImageFile.Read(Run("""{"port":9000}""").OutputPath!);
        var configuration = image.Json(image.Json(image.Top)["config"]!)["config"]!;

        Assert.Equal("65532:65532", (string?)configuration["User"]);
        Assert.Equal("""["/app/model-server"]""", configuration["Entrypoint"]!.ToJsonString());
        Assert.Equal("""["CMD","/app/model-server","health"]""", configuration["Healthcheck"]!["Test"]!.ToJsonString());
        Assert.Equal("""{"9000/tcp":{}}""", configuration["ExposedPorts"]!.ToJsonString());
        Assert.Equal("""["MODEL_SERVER_ADDRESS=0.0.0.0","MODEL_SERVER_PORT=9000","ORT_DISABLE_TELEMETRY=1"]""", configuration["Env"]!.ToJsonString());
        Assert.Equal("sha256:00", (string?)configuration["Labels"]!["io.tinymlaas.source-model.digest"]);
    }

    [Fact]
    public void Is_the_same_wherever_it_is_made()
    {
        const string both = """{"platforms":["linux/arm64","linux/amd64"]}""";

        Assert.Equal(File.ReadAllBytes(Run(both).OutputPath!), File.ReadAllBytes(Run(both).OutputPath!));
    }

    [Fact]
    public void Is_for_each_kind_of_machine_that_is_asked_for()
    {
        var image = ImageFile.Read(Run("""{"platforms":["linux/arm64","linux/amd64"]}""").OutputPath!);
        var manifests = image.Json(image.Top)["manifests"]!.AsArray();

        Assert.Equal(["amd64", "arm64"], manifests.Select(m => (string?)m!["platform"]!["architecture"]));
        Assert.Equal(["amd64 program", "arm64 program"], manifests.Select(m => System.Text.Encoding.UTF8.GetString(image.Root(image.Json(m!))["app/model-server"])));
    }

    [Fact]
    public void Another_network_is_another_layer_and_nothing_else()
    {
        string[] Layers(string constant)
        {
            var image = ImageFile.Read(Run(model: constant).OutputPath!);
            return [.. image.Json(image.Top)["layers"]!.AsArray().Select(l => (string)l!["digest"]!)];
        }
        var (one, other) = (Layers("1"), Layers("2"));

        Assert.Equal(one[..2], other[..2]);
        Assert.NotEqual(one[2], other[2]);
    }

    [Fact]
    public void Says_what_it_consists_of_and_is_sealed()
    {
        var result = Run("""{"platforms":["linux/amd64","linux/arm64"],"tag":"1"}""");
        var image = ImageFile.Read(result.OutputPath!);
        var bill = JsonNode.Parse(image.Root(image.Json(image.Json(image.Top)["manifests"]![1]!))["package/sbom.cdx.json"])!;
        using var stream = File.OpenRead(result.OutputPath!);
        var seal = SealedPackage.Read(stream);

        Assert.Equal(("CycloneDX", "1.6", "container", "key-words", "1"), ((string?)bill["bomFormat"], (string?)bill["specVersion"], (string?)bill["metadata"]!["component"]!["type"], (string?)bill["metadata"]!["component"]!["name"], (string?)bill["metadata"]!["component"]!["version"]));
        Assert.Equal(["key-words", "libc6", "model-server", "libc6", "model-server"], bill["components"]!.AsArray().Select(c => (string?)c!["name"]));
        Assert.Equal(ImageFile.Hash(File.ReadAllBytes(Path.Combine(_folder.Path, "input.onnx"))), (string?)bill["components"]![0]!["hashes"]![0]!["content"]);
        Assert.True(seal.IsSignedBy(PackageSigner.Development.PublicKey));
        Assert.Equal(seal.KeyId, (string?)result.Report["signedBy"]);
        Assert.Equal("https://in-toto.io/Statement/v1", (string?)seal.Statement["_type"]);
        // Other tools know an image by this digest.
        Assert.Equal(("key-words:1", (string?)image.Top["digest"]), ((string?)seal.Statement["subject"]![1]!["name"], "sha256:" + seal.Statement["subject"]![1]!["digest"]!["sha256"]));
        var parameters = seal.Statement["predicate"]!["buildDefinition"]!["externalParameters"]!;
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(Recipe), parameters["recipe"]));
        Assert.Equal("""{"platforms":["linux/amd64","linux/arm64"],"tag":"1"}""", parameters["package"]!["with"]!.ToJsonString());
    }

    [Fact]
    public void The_version_changes_with_the_model_server()
    {
        var before = New().Info.Version;
        Assert.Equal(before, New().Info.Version);
        Server("linux-arm64", "another");

        Assert.NotEqual(before, New().Info.Version);
        Assert.StartsWith("1-", before, StringComparison.Ordinal);
    }

    [Fact]
    public void Builds_on_a_base_of_the_operator()
    {
        Base("debian", "amd64", "usr/lib/libstdc++.so.6", "lib/libc.so.6", "lib/libgcc_s.so.1", "etc/ours");
        var image = ImageFile.Read(Run("""{"base":"debian"}""").OutputPath!);
        var root = image.Root(image.Json(image.Top));
        var configuration = image.Json(image.Json(image.Top)["config"]!)["config"]!;

        // The base's own libraries, and none of ours beside them.
        Assert.Equal("base"u8.ToArray(), root["lib/libc.so.6"]);
        Assert.True(root.ContainsKey("etc/ours"));
        Assert.True(root.ContainsKey("app/model-server"));
        Assert.Equal(["PATH=/bin", "MODEL_SERVER_ADDRESS=0.0.0.0", "MODEL_SERVER_PORT=8080", "ORT_DISABLE_TELEMETRY=1"], configuration["Env"]!.AsArray().Select(v => (string?)v));
        Assert.Null(configuration["Cmd"]);
        Assert.Equal("debian", (string?)configuration["Labels"]!["org.opencontainers.image.base.name"]);
        Assert.Equal((string?)JsonNode.Parse(File.ReadAllBytes(Path.Combine(_folder.Path, "debian", "index.json")))!["manifests"]![0]!["digest"], (string?)configuration["Labels"]!["org.opencontainers.image.base.digest"]);
    }

    [Fact]
    public void Refuses_a_base_that_does_not_fit()
    {
        Base("small", "amd64", "lib/libc.so.6");
        Base("other", "arm64", "lib/libc.so.6");

        Assert.Equal(("unknown-base", "There is no base 'alpine' on this worker; it has 'other', 'small'. Its operator names OCI image layouts under Installer:Bases."), Refused("""{"base":"alpine"}"""));
        var (code, message) = Refused("""{"base":"small"}""");
        Assert.Equal("unsuitable-base", code);
        Assert.Contains("'small' for linux/amd64: it has no libgcc_s.so.1, libstdc++.so.6, which", message, StringComparison.Ordinal);
        (code, message) = Refused("""{"base":"other"}""");
        Assert.Equal("unsuitable-base", code);
        Assert.EndsWith("is for linux/arm64, expected linux/amd64.", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("layer")]
    [InlineData("manifest")]
    [InlineData("index.json")]
    [InlineData("oci-layout")]
    public void Refuses_a_base_that_is_damaged(string what)
    {
        Base("debian", "amd64", "lib/libstdc++.so.6", "lib/libc.so.6", "lib/libgcc_s.so.1");
        var layout = Path.Combine(_folder.Path, "debian");
        var digest = (string)JsonNode.Parse(File.ReadAllBytes(Path.Combine(layout, "index.json")))!["manifests"]![0]!["digest"]!;
        string Blob(string named) => Path.Combine(layout, "blobs", "sha256", named["sha256:".Length..]);
        var path = what switch
        {
            "manifest" => Blob(digest),
            "layer" => Blob((string)JsonNode.Parse(File.ReadAllBytes(Blob(digest)))!["layers"]![0]!["digest"]!),
            _ => Path.Combine(layout, what),
        };
        if (what == "oci-layout")
        {
            File.Delete(path);
        }
        else
        {
            var content = File.ReadAllBytes(path);
            content[^9] ^= 1;
            File.WriteAllBytes(path, content);
        }

        Assert.Equal("unsuitable-base", Refused("""{"base":"debian"}""").Code);
    }

    [Fact]
    public void Says_what_to_build_where_the_model_server_is_missing()
    {
        Directory.Delete(Path.Combine(_folder.Path, "servers", "linux-arm64"), recursive: true);

        var (code, message) = Refused("""{"platforms":["linux/arm64"]}""");
        Assert.Equal("missing-tool", code);
        Assert.EndsWith("is missing. Build it: serving/build linux-arm64", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("server.tar.gz")]
    [InlineData("components.json")]
    public void A_model_server_that_is_damaged_gets_into_no_image(string file)
    {
        var path = Path.Combine(_folder.Path, "servers", "linux-x64", file);
        var content = File.ReadAllBytes(path);
        content[^2] ^= 0x40;
        File.WriteAllBytes(path, content);

        var (code, message) = Refused(null);
        Assert.Equal("missing-tool", code);
        Assert.Contains($"{file}' is damaged: ", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"name":"Upper"}""", "'name'")]
    [InlineData("""{"name":"a//b"}""", "'name'")]
    [InlineData("""{"name":"a-"}""", "'name'")]
    [InlineData("""{"name":""}""", "'name'")]
    [InlineData("""{"tag":".1"}""", "'tag'")]
    [InlineData("""{"tag":"a b"}""", "'tag'")]
    [InlineData("""{"port":80}""", "'port'")]
    [InlineData("""{"platforms":[]}""", "'platforms'")]
    [InlineData("""{"platforms":["linux/amd64","linux/amd64"]}""", "'platforms'")]
    [InlineData("""{"platforms":["windows/amd64"]}""", "'platforms'")]
    public void Refuses_options_that_no_registry_or_machine_takes(string options, string named)
    {
        var (code, message) = Refused(options);

        Assert.Equal("invalid-option", code);
        Assert.Contains(named, message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"name":"factory/line-1/key_words"}""", "factory/line-1/key_words:", "models/key_words.onnx")]
    [InlineData("""{"tag":"1.0"}""", "key-words:1.0", "models/key-words.onnx")]
    public void Is_named_as_told(string options, string reference, string file)
    {
        var result = Run(options);
        var image = ImageFile.Read(result.OutputPath!);

        Assert.StartsWith(reference, (string)result.Report["image"]!, StringComparison.Ordinal);
        Assert.Contains(file, image.Root(image.Json(image.Top)).Keys);
    }

    private Container New() => new(new ContainerParts(
        Path.Combine(_folder.Path, "servers"), Directory.GetDirectories(_folder.Path).Where(d => File.Exists(Path.Combine(d, "index.json"))).ToDictionary(d => Path.GetFileName(d), d => d)), PackageSigner.Development);

    private (string Code, string Message) Refused(string? options)
    {
        var refused = Assert.Throws<TransformRejectedException>(() => Run(options));
        return (refused.Code, refused.Message);
    }

    private TransformResult Run(string? options = null, string model = "1")
    {
        var input = _folder.Write("input.onnx", OnnxFile.ToBytes(GraphText.Parse($"in x: float[N,3]\nconst w: float[3,4] ~ {model}\ny = MatMul(x, w)\nout y")));
        return New().Transform(
            new TransformRequest
            {
                InputPath = input,
                InputKind = "onnx",
                WorkFolder = _folder.Folder($"work-{_works++}"),
                Options = options is null ? null : JsonSerializer.Deserialize<JsonElement>(options),
                History = new TransformHistory { ModelName = "Key Words", Recipe = (JsonObject)JsonNode.Parse(Recipe)!, ReportPaths = [] },
            },
            new Progress<TransformProgress>(),
            TestContext.Current.CancellationToken);
    }

    /// <summary>What <c>serving/build</c> leaves, of other files.</summary>
    private void Server(string folder, string said)
    {
        var path = _folder.Folder(Path.Combine("servers", folder));
        var system = Layer(Path.Combine(path, "system.tar.gz"), ("lib/libc.so.6", $"{said} libc"));
        var server = Layer(Path.Combine(path, "server.tar.gz"), ("app/model-server", $"{said} program"));
        File.WriteAllText(Path.Combine(path, "components.json"), new JsonObject { ["system"] = system.Digest, ["server"] = server.Digest, ["components"] = new JsonObject { ["system"] = new JsonArray(new JsonObject { ["name"] = "libc6", ["version"] = said, ["purl"] = $"pkg:deb/debian/libc6@{said}", ["sha256"] = new string('0', 64) }), ["server"] = new JsonArray(new JsonObject { ["name"] = "model-server", ["version"] = "1" }) } }.ToJsonString());
    }

    /// <summary>An OCI image layout as a tool of others would leave it.</summary>
    private void Base(string name, string architecture, params string[] files)
    {
        var blobs = _folder.Folder(Path.Combine(name, "blobs", "sha256"));
        JsonObject Keep(byte[] content, string type)
        {
            var hex = Convert.ToHexStringLower(SHA256.HashData(content));
            File.WriteAllBytes(Path.Combine(blobs, hex), content);
            return new JsonObject { ["mediaType"] = type, ["digest"] = "sha256:" + hex, ["size"] = content.Length };
        }
        byte[] Json(JsonObject json) => System.Text.Encoding.UTF8.GetBytes(json.ToJsonString());
        var layer = Layer(Path.Combine(_folder.Path, "layer"), [.. files.Select(f => (f, "base"))]);
        var configuration = new JsonObject
        {
            ["os"] = "linux",
            ["architecture"] = architecture,
            ["config"] = new JsonObject { ["Env"] = new JsonArray("PATH=/bin", "MODEL_SERVER_PORT=1"), ["Cmd"] = new JsonArray("bash"), ["User"] = "root" },
            ["rootfs"] = new JsonObject { ["type"] = "layers", ["diff_ids"] = new JsonArray(layer.DiffId) },
        };
        var manifest = new JsonObject
        {
            ["schemaVersion"] = 2,
            ["config"] = Keep(Json(configuration), "application/vnd.oci.image.config.v1+json"),
            ["layers"] = new JsonArray(Keep(File.ReadAllBytes(layer.Path), "application/vnd.oci.image.layer.v1.tar+gzip")),
        };
        _folder.Write(Path.Combine(name, "index.json"), Json(new JsonObject { ["manifests"] = new JsonArray(Keep(Json(manifest), "application/vnd.oci.image.manifest.v1+json")) }));
        _folder.Write(Path.Combine(name, "oci-layout"), """{"imageLayoutVersion":"1.0.0"}""");
    }

    private static ImageLayer Layer(string path, params (string Path, string Content)[] files) =>
        ImageLayer.Write(path, files.Select(f => PackageFile.FromMemory(f.Path, System.Text.Encoding.UTF8.GetBytes(f.Content))), CancellationToken.None);
}
