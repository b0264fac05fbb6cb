using System.Diagnostics;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary><c>tinyml verify</c> on what <c>tinyml demo</c> delivers.</summary>
public sealed class VerifyTests(VerifyTests.DemoPackage demo) : IClassFixture<VerifyTests.DemoPackage>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_package_is_as_it_was_made_and_can_be_made_again()
    {
        var verified = (await TinymlCommand.RunAsync(Cancellation, "verify", demo.Package, "--rebuild", "--home", demo.Home, "--json")).Expect(0);

        Assert.Equal(demo.Digest, verified.Json.GetProperty("digest").GetString());
        Assert.True(verified.Json.GetProperty("development").GetBoolean());
        Assert.Contains("anybody may have made it", verified.Error, StringComparison.Ordinal);
        var recipe = verified.Json.GetProperty("recipe");
        Assert.Equal(["compiler/fuse", "compiler/quantize", "installer/bundle"], recipe.GetProperty("steps").EnumerateArray().Select(s => s.GetProperty("uses").GetString()));
        Assert.Equal("sha256:" + Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(await File.ReadAllBytesAsync(Samples.Model, Cancellation))), recipe.GetProperty("model").GetProperty("digest").GetString());
        var rebuild = verified.Json.GetProperty("rebuild");
        Assert.Equal((true, demo.Digest), (rebuild.GetProperty("identical").GetBoolean(), rebuild.GetProperty("digest").GetString()));
    }

    [Theory]
    [InlineData(0.0)]
    [InlineData(0.003)]
    [InlineData(0.01)]
    [InlineData(0.5)]
    [InlineData(0.9999999)]
    public async Task A_byte_that_changed_is_found_wherever_it_is(double place)
    {
        using var folder = new TemporaryFolder();
        var content = await File.ReadAllBytesAsync(demo.Package, Cancellation);
        content[(int)(place * content.Length)] ^= 4;
        await File.WriteAllBytesAsync(folder.In("changed"), content, Cancellation);

        var refused = (await TinymlCommand.RunAsync(Cancellation, "verify", folder.In("changed"), "--json")).Expect(2);

        Assert.Contains(refused.Json.GetProperty("problems")[0].GetProperty("code").GetString(), (string[])["package-changed", "signature-wrong", "key-unknown", "not-a-package"]);
    }

    [Fact]
    public async Task A_key_of_ones_own_is_asked_for_by_name()
    {
        using var folder = new TemporaryFolder();
        var key = folder.In("key.pem");
        OpenSsl("genpkey", "-algorithm", "ed25519", "-out", key);
        OpenSsl("pkey", "-in", key, "-pubout", "-out", key + ".pub");
        OpenSsl("genpkey", "-algorithm", "ed25519", "-out", folder.In("other.pem"));
        OpenSsl("pkey", "-in", folder.In("other.pem"), "-pubout", "-out", folder.In("other.pub"));
        var environment = new Dictionary<string, string> { ["Installer__SigningKeyFile"] = key };
        var (package, _) = await DemoAsync(folder, environment);

        var verified = (await TinymlCommand.RunProcessAsync(environment, Cancellation, "verify", package, "--public-key", key + ".pub", "--rebuild", "--home", folder.Home, "--json")).Expect(0);
        Assert.False(verified.Json.GetProperty("development").GetBoolean());

        var unknown = (await TinymlCommand.RunAsync(Cancellation, "verify", package, "--json")).Expect(2);
        Assert.Equal("key-unknown", Code(unknown));
        Assert.Contains(verified.Json.GetProperty("signedBy").GetString()!, unknown.Error, StringComparison.Ordinal);
        Assert.Equal("key-unknown", Code((await TinymlCommand.RunAsync(Cancellation, "verify", package, "--public-key", folder.In("other.pub"), "--json")).Expect(2)));
        Assert.Equal("key-not-readable", Code((await TinymlCommand.RunAsync(Cancellation, "verify", package, "--public-key", key, "--json")).Expect(2)));

        // Made with the key of development, it is another file.
        var differs = (await TinymlCommand.RunAsync(Cancellation, "verify", package, "--public-key", key + ".pub", "--rebuild", "--home", folder.Home)).Expect(3);
        Assert.Contains("Made again, it is another file", differs.Error, StringComparison.Ordinal);
        Assert.Contains("installer/bundle is of version 3-", differs.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_lacks_what_it_takes_says_so()
    {
        using var folder = new TemporaryFolder();

        var refused = (await TinymlCommand.RunAsync(Cancellation, "verify", demo.Package, "--rebuild", "--home", folder.In("another"))).Expect(2);

        Assert.Contains("cannot be made again on this server. It takes the model sha256:", refused.Error, StringComparison.Ordinal);
        Assert.Contains("unknown-artifact", refused.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_key_to_sign_with_that_is_none_is_refused_before_anything_runs()
    {
        using var folder = new TemporaryFolder();

        var refused = (await TinymlCommand.RunProcessAsync(
            new Dictionary<string, string> { ["Installer__SigningKeyFile"] = folder.In("none") }, Cancellation, "demo", "--json", "--home", folder.Home, "--out", folder.Output)).Expect(2);

        Assert.Equal("wrong-options", Code(refused));
        Assert.Contains($"Installer:SigningKeyFile is '{folder.In("none")}': Could not find file", refused.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("none", "file-not-readable")]
    [InlineData("text", "not-a-package")]
    public async Task What_is_no_package_is_refused(string name, string code)
    {
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder.In("text"), "no package", Cancellation);

        Assert.Equal(code, Code((await TinymlCommand.RunAsync(Cancellation, "verify", folder.In(name), "--json")).Expect(2)));
    }

    private static async Task<(string Package, string Digest)> DemoAsync(TemporaryFolder folder, IReadOnlyDictionary<string, string> environment)
    {
        var demo = (await TinymlCommand.RunProcessAsync(environment, Cancellation, "demo", "--json", "--home", folder.Home, "--out", folder.Output)).Expect(0);
        var output = demo.Json.GetProperty("outputs")[0];
        return (output.GetProperty("path").GetString()!, output.GetProperty("digest").GetString()!);
    }

    private static string? Code(TinymlResult result) => result.Json.GetProperty("problems")[0].GetProperty("code").GetString();

    private static void OpenSsl(params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo("openssl", arguments) { RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error);
    }

    /// <summary>What the demo delivers, and the home that it was made in.</summary>
    public sealed class DemoPackage : IAsyncLifetime
    {
        private readonly TemporaryFolder _folder = new();

        public string Home => _folder.Home;

        public string Package { get; private set; } = "";

        public string Digest { get; private set; } = "";

        public async ValueTask InitializeAsync() => (Package, Digest) = await DemoAsync(_folder, new Dictionary<string, string>());

        public ValueTask DisposeAsync()
        {
            _folder.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
