using System.Security.Cryptography;
using System.Text.Json;
using TinyMLaaS.Standalone;

namespace TinyMLaaS.EndToEnd.Tests;

public sealed class DemoTests
{
    private static readonly TimeSpan MissingLimit = TimeSpan.FromSeconds(40);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string> Services => [.. StandaloneServer.Services];

    [Fact]
    public async Task The_demo_makes_the_sample_smaller_without_making_it_worse()
    {
        using var folder = new TemporaryFolder();

        var result = (await TinymlCommand.RunAsync(Cancellation, "demo", "--json", "--home", folder.Home, "--out", folder.Output)).Expect(0);

        var (before, after) = (result.Json.GetProperty("before"), result.Json.GetProperty("after"));
        Assert.Equal(new FileInfo(Samples.Model).Length, before.GetProperty("bytes").GetInt64());
        Assert.InRange(after.GetProperty("bytes").GetDouble() / before.GetProperty("bytes").GetDouble(), 0.1, 0.40);
        Assert.InRange(before.GetProperty("top1").GetDouble() - after.GetProperty("top1").GetDouble(), -0.01, 0.01);
        // What the sample's own page says of it, measured by its recipe.
        Assert.Equal(0.926, before.GetProperty("top1").GetDouble(), 0.0005);
        Assert.Equal(4_392_384, before.GetProperty("macs").GetInt64());
        foreach (var network in (JsonElement[])[before, after])
        {
            Assert.InRange(network.GetProperty("parameters").GetInt64(), 100_000, 300_000);
            Assert.InRange(network.GetProperty("macs").GetInt64(), 1, 10_000_000);
            Assert.InRange(network.GetProperty("latencyMs").GetDouble(), 1e-6, 1000);
        }
        Assert.Equal(["compiler/fuse", "compiler/quantize", "installer/bundle"], result.Json.GetProperty("steps").EnumerateArray().Select(s => s.GetProperty("uses").GetString()));
        Assert.All(result.Json.GetProperty("steps").EnumerateArray(), step =>
        {
            Assert.Equal("succeeded", step.GetProperty("state").GetString());
            Assert.InRange(step.GetProperty("seconds").GetDouble(), 0, 60);
        });
        var outputs = result.Json.GetProperty("outputs").EnumerateArray().ToList();
        Assert.Equal("bundle", outputs[0].GetProperty("kind").GetString());
        Assert.Equal(Path.Combine(folder.Output, "fashion-cnn.tar.gz"), outputs[0].GetProperty("path").GetString());
        Assert.All(outputs, output =>
        {
            var bytes = File.ReadAllBytes(output.GetProperty("path").GetString()!);
            Assert.Equal(bytes.Length, output.GetProperty("bytes").GetInt64());
            Assert.Equal("sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes)), output.GetProperty("digest").GetString());
        });
        Assert.Equal(
            [
                "0-evaluation.json", "1-compiler-fuse.html", "1-compiler-fuse.json", "1-evaluation.json", "2-compiler-quantize.html", "2-compiler-quantize.json", "2-evaluation.json",
                "3-installer-bundle.html", "3-installer-bundle.json",
            ],
            Directory.EnumerateFiles(Path.Combine(folder.Output, "reports")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        var page = File.ReadAllText(Path.Combine(folder.Output, "reports", "2-compiler-quantize.html"));
        // Twelve operators with weights, each with a point for its weights and one for its output.
        Assert.Equal(24, page.Split("<circle ").Length - 1);
        Assert.False(File.Exists(Path.Combine(folder.Home, "server.json")), "the server of the demo still says that it is there");
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(folder.Home, "work")));
    }

    [Fact]
    public async Task A_second_demo_on_the_home_takes_every_step_from_the_cache_and_makes_the_same()
    {
        using var folder = new TemporaryFolder();
        string[] arguments = ["demo", "--json", "--home", folder.Home, "--out"];

        var first = (await TinymlCommand.RunAsync(Cancellation, [.. arguments, folder.In("first")])).Expect(0);
        var second = (await TinymlCommand.RunAsync(Cancellation, [.. arguments, folder.In("second")])).Expect(0);

        Assert.All(first.Json.GetProperty("steps").EnumerateArray(), s => Assert.False(s.GetProperty("cached").GetBoolean()));
        Assert.All(second.Json.GetProperty("steps").EnumerateArray(), s => Assert.True(s.GetProperty("cached").GetBoolean()));
        Assert.Equal(Digests(first), Digests(second));
    }

    [Fact]
    public async Task For_people_the_result_is_a_table_on_stdout_and_the_progress_is_on_stderr()
    {
        using var folder = new TemporaryFolder();

        var result = (await TinymlCommand.RunAsync(Cancellation, "demo", "--home", folder.Home, "--out", folder.Output)).Expect(0);

        foreach (var row in (string[])["before", "after", "bytes", "parameters", "MACs", "top1", "latency"])
            Assert.Contains(row, result.Output, StringComparison.Ordinal);
        Assert.Contains(Path.Combine(folder.Output, "fashion-cnn.tar.gz"), result.Output, StringComparison.Ordinal);
        Assert.Contains("1 compiler/fuse: done in", result.Error, StringComparison.Ordinal);
        Assert.Contains("3 installer/bundle: done in", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("\u001b", result.Output + result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Services))]
    public async Task Without_one_of_its_services_the_demo_fails_and_names_it(string service)
    {
        using var folder = new TemporaryFolder();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        limit.CancelAfter(MissingLimit);

        var result = (await TinymlCommand.RunAsync(limit.Token, "demo", "--json", "--home", folder.Home, "--out", folder.Output, "--without", service)).Expect(4);

        Assert.Contains($"'{service}' is missing", result.Error, StringComparison.Ordinal);
        var problem = Assert.Single(result.Json.GetProperty("problems").EnumerateArray());
        Assert.Equal("service-missing", problem.GetProperty("code").GetString());
        Assert.Contains($"'{service}'", problem.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.Output), "outputs of a demo that did not run");
    }

    private static string[] Digests(TinymlResult result) => [.. result.Json.GetProperty("outputs").EnumerateArray().Select(o => o.GetProperty("digest").GetString()!)];
}
