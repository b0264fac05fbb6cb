using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Containers;

/// <summary>What <c>installer/container</c> delivers, taken by the tools of others and run, from the delivered file alone.</summary>
public sealed class ContainerImageTests(ContainerImage image) : IClassFixture<ContainerImage>
{
    [Fact]
    public async Task A_container_that_may_do_nothing_answers_as_the_network_does_here()
    {
        var container = await image.DockerAsync(
            "run", "--detach", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "256m", "--publish", "127.0.0.1::8080", image.Reference);
        var inspected = await image.InspectAsync(container);
        Assert.Equal("65532:65532", (string?)inspected["Config"]!["User"]);
        var port = (string)inspected["NetworkSettings"]!["Ports"]!["8080/tcp"]![0]!["HostPort"]!;
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        await ReadyAsync(http, () => image.LogsAsync(container));

        var (answers, expected) = (await image.InferAsync(http), image.Expected);

        Assert.Equal(expected, answers);
        await image.DockerAsync("rm", "--force", container);
    }

    [Fact]
    public async Task Without_a_network_it_is_healthy_and_ends_when_it_is_told()
    {
        var container = await image.DockerAsync("run", "--detach", "--read-only", "--cap-drop", "ALL", "--network", "none", "--health-interval", "1s", image.Reference);
        await Stack.UntilAsync(async () => (string?)(await image.InspectAsync(container))["State"]!["Health"]!["Status"] == "healthy", async () => (await image.InspectAsync(container))["State"]!.ToJsonString());

        var told = Stopwatch.StartNew();
        await image.DockerAsync("stop", "--time", "60", container);

        // Killed after a minute, it would not have ended by itself.
        var state = (await image.InspectAsync(container))["State"]!;
        Assert.Equal((0, "exited"), ((int)state["ExitCode"]!, (string?)state["Status"]));
        Assert.InRange(told.Elapsed.TotalSeconds, 0, 50);
        await image.DockerAsync("rm", container);
    }

    [Fact]
    public async Task A_bit_that_flips_in_the_network_is_seen_at_the_start()
    {
        using var folder = new EndToEnd.Tests.TemporaryFolder();
        var container = await image.DockerAsync("create", image.Reference);
        var file = folder.In("network.onnx");
        await image.DockerAsync("cp", $"{container}:/models/fashion-cnn.onnx", file);
        var content = await File.ReadAllBytesAsync(file, Stack.Cancellation);
        content[content.Length / 2] ^= 1;
        await File.WriteAllBytesAsync(file, content, Stack.Cancellation);
        await image.DockerAsync("cp", file, $"{container}:/models/fashion-cnn.onnx");

        await image.DockerAsync("start", container);
        await Stack.UntilAsync(async () => (string?)(await image.InspectAsync(container))["State"]!["Status"] == "exited", async () => (await image.InspectAsync(container))["State"]!.ToJsonString());

        Assert.Equal(1, (int)(await image.InspectAsync(container))["State"]!["ExitCode"]!);
        Assert.Contains("model-server: Model 'fashion-cnn' is damaged: /models/fashion-cnn.onnx has the digest sha256:", await image.LogsAsync(container), StringComparison.Ordinal);
        await image.DockerAsync("rm", container);
    }

    [Fact]
    public async Task Other_tools_read_it_both_ways()
    {
        using var folder = new EndToEnd.Tests.TemporaryFolder();
        var tag = image.Reference.Split(':')[1];
        var layout = JsonNode.Parse(await ServerProcess.RunAsync("skopeo", ["inspect", $"oci-archive:{image.File}:{tag}"]))!;
        Assert.Equal((image.Digest, "amd64", 3), ((string?)layout["Digest"], (string?)layout["Architecture"], layout["Layers"]!.AsArray().Count));
        Assert.Equal(image.ModelDigest, (string?)layout["Labels"]!["io.tinymlaas.model.digest"]);
        Assert.Equal(layout["Layers"]!.AsArray().Count, JsonNode.Parse(await ServerProcess.RunAsync("skopeo", ["inspect", $"docker-archive:{image.File}"]))!["Layers"]!.AsArray().Count);
        // Whatever skopeo copies it has checked by digest.
        await ServerProcess.RunAsync("skopeo", ["--insecure-policy", "copy", "--override-arch", "arm64", $"oci-archive:{image.File}:{tag}", $"oci:{folder.In("arm64")}:one"]);

        await ServerProcess.RunAsync("umoci", ["unpack", "--rootless", "--image", $"{folder.In("arm64")}:one", folder.In("bundle")]);

        Assert.Equal(image.ModelDigest, "sha256:" + Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(await File.ReadAllBytesAsync(folder.In("bundle/rootfs/models/fashion-cnn.onnx"), Stack.Cancellation))));
    }

    [Fact]
    public async Task The_arm64_of_it_answers_too()
    {
        using var folder = new EndToEnd.Tests.TemporaryFolder();
        var tag = image.Reference.Split(':')[1];
        await ServerProcess.RunAsync("skopeo", ["--insecure-policy", "copy", "--override-arch", "arm64", $"oci-archive:{image.File}:{tag}", $"oci:{folder.In("arm64")}:one"]);
        await ServerProcess.RunAsync("umoci", ["unpack", "--rootless", "--image", $"{folder.In("arm64")}:one", folder.In("bundle")]);
        var root = folder.In("bundle/rootfs");
        // ONNX Runtime asks /proc/cpuinfo which processor it has, and the emulator shows that of the machine below.
        var cpu = folder.In("cpuinfo");
        await File.WriteAllTextAsync(cpu, "processor\t: 0\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n", Stack.Cancellation);
        var port = ServerProcess.FreePort();
        var script = string.Create(CultureInfo.InvariantCulture, $"mount --bind '{cpu}' /proc/cpuinfo && exec qemu-aarch64 -L '{root}' -cpu cortex-a72 '{root}/app/model-server' --models '{root}/models' --port {port}");
        await using var emulated = await ServerProcess.StartAsync("unshare", ["--mount", "--map-root-user", "--user", "sh", "-c", script]);
        using var http = new HttpClient { BaseAddress = new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}")) };
        await ReadyAsync(http, () => Task.FromResult(emulated.Output));

        var (answers, expected) = (await image.InferAsync(http), image.Expected);

        // Integers up to the last layer's floats, which another processor may round otherwise.
        Assert.All(answers.Zip(expected), pair => Assert.Equal(pair.Second, pair.First, 1e-4));
    }

    [Fact]
    public async Task Made_elsewhere_it_is_the_same_file()
    {
        using var folder = new EndToEnd.Tests.TemporaryFolder();

        Assert.Equal(image.FileDigest, (await ContainerImage.MakeAsync(folder)).GetProperty("digest").GetString());
    }

    [Fact]
    public async Task Its_seal_holds_and_it_can_be_made_again()
    {
        var verified = (await TinymlCommand.RunAsync(Stack.Cancellation, "verify", image.File, "--rebuild", "--home", image.Home, "--json")).Expect(0);

        Assert.Equal((image.FileDigest, true), (verified.Json.GetProperty("digest").GetString(), verified.Json.GetProperty("rebuild").GetProperty("identical").GetBoolean()));
        using var folder = new EndToEnd.Tests.TemporaryFolder();
        var changed = folder.In("changed");
        File.Copy(image.File, changed);
        await using (var stream = new FileStream(changed, FileMode.Open))
        {
            stream.Position = stream.Length - 1;
            stream.WriteByte(1);
        }
        Assert.Contains("The content was changed", (await TinymlCommand.RunAsync(Stack.Cancellation, "verify", changed)).Expect(2).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_demo_runs_its_image_and_finds_it_as_good_as_the_network()
    {
        using var folder = new EndToEnd.Tests.TemporaryFolder();

        var result = (await TinymlCommand.RunProcessAsync(
            new Dictionary<string, string> { ["DOCKER_HOST"] = image.Docker }, Stack.Cancellation, "demo", "--target", "container", "--json", "--home", folder.Home, "--out", folder.Output)).Expect(0).Json;

        var served = result.GetProperty("served");
        Assert.Equal(result.GetProperty("after").GetProperty("top1").GetDouble(), served.GetProperty("top1").GetDouble());
        Assert.Equal((1000, image.Reference), (served.GetProperty("samples").GetInt32(), served.GetProperty("image").GetString()));
        Assert.Equal("oci-image", result.GetProperty("outputs")[0].GetProperty("kind").GetString());
        Assert.DoesNotContain(image.Reference, await image.DockerAsync("ps", "--format", "{{.Image}}"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_Docker_the_demo_makes_the_image_and_says_how_to_run_it()
    {
        using var folder = new EndToEnd.Tests.TemporaryFolder();

        var result = (await TinymlCommand.RunProcessAsync(
            new Dictionary<string, string> { ["DOCKER_HOST"] = $"unix://{folder.In("none")}" }, Stack.Cancellation, "demo", "--target", "container", "--json", "--home", folder.Home, "--out", folder.Output)).Expect(0);

        Assert.False(result.Json.TryGetProperty("served", out var served) && served.ValueKind != System.Text.Json.JsonValueKind.Null);
        Assert.Contains($"docker load --input {folder.In("out/fashion-cnn.oci.tar")} && docker run --publish 127.0.0.1:8080:8080 {image.Reference}", result.Error, StringComparison.Ordinal);
    }

    private static Task ReadyAsync(HttpClient http, Func<Task<string>> log) => Stack.UntilAsync(
        async () =>
        {
            try
            {
                using var answer = await http.GetAsync("v2/health/ready", Stack.Cancellation);
                return answer.IsSuccessStatusCode;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        },
        log);
}
