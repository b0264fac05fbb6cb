using System.Security.Cryptography;
using TinyMLaaS.ModelServer;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Serving.Tests;

/// <summary>A server serves what it was given, or says why it does not.</summary>
public sealed class ModelFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Model => Path.Combine(_folder.Path, "net.onnx");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_network_with_a_flipped_bit_is_not_served()
    {
        File.Copy(Networks.Sample, Model);
        WriteManifest("net.onnx", Digest());
        using (var model = Load()["fashion"])
            Assert.Equal(Digest(), model.Digest);

        var expected = Digest();
        var content = File.ReadAllBytes(Model);
        content[content.Length / 2] ^= 1;
        File.WriteAllBytes(Model, content);

        var error = Assert.Throws<ModelException>(Load);
        Assert.Equal($"Model 'fashion' is damaged: {Model} has the digest {Digest()}, and {expected} is expected. It is not served.", error.Message);
    }

    [Theory]
    [InlineData("{", "cannot be read")]
    [InlineData("{\"models\":[]}", "names no model")]
    [InlineData("{\"models\":[{\"name\":\"a\"}]}", "cannot be read")]
    [InlineData("{\"models\":[{\"name\":\"a/b\",\"file\":\"net.onnx\"}]}", "'a/b' in ")]
    [InlineData("{\"models\":[{\"name\":\"a\",\"file\":\"../net.onnx\"}]}", "The file '../net.onnx' of model 'a' in ")]
    [InlineData("{\"models\":[{\"name\":\"a\",\"file\":\"net.onnx\"},{\"name\":\"a\",\"file\":\"net.onnx\"}]}", "There are several models 'a' in ")]
    [InlineData("{\"models\":[{\"name\":\"a\",\"file\":\"none.onnx\"}]}", "Model 'a' cannot be read from ")]
    public void A_manifest_that_cannot_be_followed_is_named(string manifest, string error)
    {
        File.Copy(Networks.Sample, Model);
        File.WriteAllText(Path.Combine(_folder.Path, ModelFolder.Manifest), manifest);

        Assert.Contains(error, Assert.Throws<ModelException>(Load).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_without_a_network_and_one_that_there_is_not_are_told_apart()
    {
        Assert.Equal($"There is no network in '{_folder.Path}': expected NAME.onnx, or a models.json.", Assert.Throws<ModelException>(Load).Message);
        Assert.Equal("There is no folder '/nowhere'. Say with --models where the networks are.", Assert.Throws<ModelException>(() => ModelFolder.Load("/nowhere", 1)).Message);
    }

    [Fact]
    public void What_is_no_network_is_refused_by_name()
    {
        File.WriteAllBytes(Model, RandomNumberGenerator.GetBytes(1000));

        Assert.StartsWith("Model 'net' cannot be loaded: ", Assert.Throws<ModelException>(Load).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_that_cannot_be_followed_are_all_named()
    {
        Assert.Null(ServerOptions.Read(["--port", "70000", "--adress", "--threads", "0", "--address", "here", "--models"], _ => null, out var wrong));
        Assert.Equal(
        [
            "There is no option '--adress'. Expected --models, --address, --port, --max-body-mib, --max-memory-mib, --concurrency, --threads, --time-limit-s.",
            "--models has no value.",
            "--address is 'here'. Expected an IP address, e.g. 0.0.0.0.",
            "--port is '70000'. Expected a whole number from 0 to 65535.",
            "--threads is '0'. Expected a whole number from 1 to 256.",
        ], wrong);
        Assert.Null(ServerOptions.Read(["--max-memory-mib", "1"], _ => null, out wrong));
        Assert.Equal(["--max-memory-mib is less than --max-body-mib (16): no such body could be taken."], wrong);
    }

    [Fact]
    public void An_argument_goes_before_the_environment()
    {
        var options = ServerOptions.Read(["--port", "1"], name => name switch { "MODEL_SERVER_PORT" => "2", "MODEL_SERVER_MAX_BODY_MIB" => "3", _ => null }, out _)!;

        Assert.Equal((1, 3 << 20, 12L << 20), (options.Port, options.MaxBodyBytes, options.MaxMemoryBytes));
    }

    private string Digest() => $"sha256:{Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Model)))}";

    private void WriteManifest(string file, string digest) =>
        File.WriteAllText(Path.Combine(_folder.Path, ModelFolder.Manifest), $$"""{"models":[{"name":"fashion","file":"{{file}}","digest":"{{digest}}"}]}""");

    private IReadOnlyDictionary<string, ServedModel> Load() => ModelFolder.Load(_folder.Path, threads: 1);
}
