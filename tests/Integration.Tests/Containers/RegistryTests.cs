using System.Net.Http.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Containers;

/// <summary>Docker and skopeo with a server's registry: what <c>tinyml run</c> packaged is pulled without a push, run, pushed under other names and copied both ways, with keys and without.</summary>
public sealed class RegistryTests : IAsyncLifetime
{
    private readonly EndToEnd.Tests.TemporaryFolder _folder = new();
    private DockerDaemon _docker = null!;
    private ServeProcess _server = null!;
    private string _image = "";
    private string _digest = "";
    private string _model = "";

    private string Host => new Uri(_server.Url).Authority;

    private string Packaged => $"{Host}/default/{_image}";

    public async ValueTask InitializeAsync()
    {
        _docker = await DockerDaemon.StartAsync();
        TestContext.Current.SendDiagnosticMessage("Docker: {0}", _docker.Description);
        _server = await ServeProcess.StartAsync(_folder.Home, ServeProcess.FreePort(), Stack.Cancellation);
        await ContainerImage.MakeAsync(_folder, "--server", _server.Url);
        var report = JsonNode.Parse(await File.ReadAllBytesAsync(_folder.In("out/reports/3-installer-container.json"), Stack.Cancellation))!;
        (_image, _digest, _model) = ((string)report["image"]!, (string)report["digest"]!, (string)report["labels"]!["io.tinymlaas.model.digest"]!);
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
            await _server.DisposeAsync();
        if (_docker is not null)
            await _docker.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task What_a_pipeline_packaged_is_pulled_run_and_pushed_under_another_name()
    {
        await DockerAsync("pull", Packaged);

        Assert.Contains($"{Packaged.Split(':')[0]}:{Packaged.Split(':')[1]}@{_digest}", await DockerAsync("inspect", "--format", "{{join .RepoDigests \" \"}}", Packaged), StringComparison.Ordinal);
        Assert.Equal(_model, await DockerAsync("inspect", "--format", "{{index .Config.Labels \"io.tinymlaas.model.digest\"}}", Packaged));
        var container = await DockerAsync("run", "--detach", "--read-only", "--cap-drop", "ALL", "--network", "none", "--health-interval", "1s", Packaged);
        await Stack.UntilAsync(
            async () => await DockerAsync("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy", () => DockerAsync("inspect", "--format", "{{json .State}}", container));
        await DockerAsync("rm", "--force", container);

        // As it is, and as an image that is new: one more layer, and the others are there already.
        var (mirror, derived) = ($"{Host}/default/team/mirror:two", $"{Host}/default/team/derived:1");
        await DockerAsync("tag", Packaged, mirror);
        await DockerAsync("push", mirror);
        await File.WriteAllTextAsync(_folder.In("Dockerfile"), $"FROM {Packaged}\nCOPY pipeline.yaml /pipeline.yaml\nLABEL derived=true\n", Stack.Cancellation);
        await DockerAsync("build", "--tag", derived, "--file", _folder.In("Dockerfile"), _folder.Path);
        await DockerAsync("push", derived);
        var (before, beforeDerived) = (await DockerAsync("inspect", "--format", "{{.Id}}", mirror), await DockerAsync("inspect", "--format", "{{.Id}}", derived));
        await DockerAsync("rmi", "--force", Packaged, mirror, derived);
        await DockerAsync("pull", mirror);
        await DockerAsync("pull", derived);

        Assert.Equal((before, beforeDerived), (await DockerAsync("inspect", "--format", "{{.Id}}", mirror), await DockerAsync("inspect", "--format", "{{.Id}}", derived)));
        Assert.Equal("true", await DockerAsync("inspect", "--format", "{{.Config.Labels.derived}}", derived));
        Assert.Contains("not found", await FailsAsync("docker", "pull", $"{Host}/default/team/absent:1"), StringComparison.OrdinalIgnoreCase);
        await DockerAsync("rmi", "--force", mirror, derived);
    }

    [Fact]
    public async Task Skopeo_inspects_copies_both_ways_lists_and_deletes()
    {
        var inspected = JsonNode.Parse(await SkopeoAsync("inspect", "--tls-verify=false", $"docker://{Packaged}"))!;
        Assert.Equal((_digest, "amd64", _model), ((string)inspected["Digest"]!, (string)inspected["Architecture"]!, (string)inspected["Labels"]!["io.tinymlaas.model.digest"]!));
        var repository = $"docker://{Host}/default/team/copied";

        // Out to a folder with both kinds of machines, and in again; then from name to name, as both formats.
        await SkopeoAsync("copy", "--all", "--src-tls-verify=false", $"docker://{Packaged}", $"oci:{_folder.In("layout")}:one");
        await SkopeoAsync("copy", "--all", "--dest-tls-verify=false", $"oci:{_folder.In("layout")}:one", $"{repository}:one");
        await SkopeoAsync("copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", $"docker://{Packaged}", $"{repository}:two");
        await SkopeoAsync("copy", "--override-arch", "arm64", "--format", "v2s2", "--src-tls-verify=false", "--dest-tls-verify=false", $"{repository}:one", $"{repository}:docker");
        // Whatever skopeo copies it has checked by digest.
        await SkopeoAsync("copy", "--src-tls-verify=false", $"{repository}:docker", $"dir:{_folder.In("dir")}");

        foreach (var tag in (string[])["one", "two"])
            Assert.Equal(_digest, (string)JsonNode.Parse(await SkopeoAsync("inspect", "--tls-verify=false", $"{repository}:{tag}"))!["Digest"]!);
        Assert.Equal(["docker", "one", "two"], await TagsAsync(repository));
        await SkopeoAsync("delete", "--tls-verify=false", $"{repository}:docker");
        Assert.Equal(["one", "two"], await TagsAsync(repository));
    }

    [Fact]
    public async Task Where_keys_are_needed_docker_and_skopeo_show_one()
    {
        var (reader, writer) = (await CreateKeyAsync([Scopes.ArtifactsRead]), await CreateKeyAsync([Scopes.ArtifactsRead, Scopes.ArtifactsWrite]));
        var port = new Uri(_server.Url).Port;
        await _server.KillAsync();
        await using var guarded = await ServeProcess.StartAsync(_folder.Home, port, new Dictionary<string, string> { ["PipelineApi__RequireKey"] = "true" }, Stack.Cancellation);
        var target = $"{Host}/default/team/keyed:1";

        Assert.Contains("unauthorized", await FailsAsync("docker", "pull", Packaged), StringComparison.OrdinalIgnoreCase);
        Assert.Contains("unauthorized", await FailsAsync("docker", "login", "--username", "anybody", "--password", writer[..^1] + (writer[^1] == 'a' ? 'b' : 'a'), Host), StringComparison.OrdinalIgnoreCase);
        await FailsAsync("skopeo", "inspect", "--tls-verify=false", $"docker://{Packaged}");

        await DockerAsync("login", "--username", "anybody", "--password", reader, Host);
        await DockerAsync("pull", Packaged);
        await DockerAsync("tag", Packaged, target);
        Assert.Contains("denied", await FailsAsync("docker", "push", target), StringComparison.OrdinalIgnoreCase);
        await DockerAsync("logout", Host);
        await DockerAsync("login", "--username", "anybody", "--password", writer, Host);
        await DockerAsync("push", target);
        await DockerAsync("logout", Host);
        await FailsAsync("docker", "push", target);

        Assert.Equal(_digest, (string)JsonNode.Parse(await SkopeoAsync("inspect", "--creds", $"anybody:{reader}", "--tls-verify=false", $"docker://{Packaged}"))!["Digest"]!);
        await SkopeoAsync("copy", "--all", "--src-creds", $"anybody:{reader}", "--dest-creds", $"anybody:{writer}", "--src-tls-verify=false", "--dest-tls-verify=false", $"docker://{Packaged}", $"docker://{Host}/default/team/copied:1");
        await FailsAsync("skopeo", "copy", "--src-creds", $"anybody:{reader}", "--dest-creds", $"anybody:{reader}", "--src-tls-verify=false", "--dest-tls-verify=false", $"docker://{Packaged}", $"docker://{Host}/default/team/refused:1");
        await FailsAsync("skopeo", "inspect", "--creds", $"anybody:{reader}", "--tls-verify=false", $"docker://{Host}/other/{_image}");
        await DockerAsync("rmi", "--force", Packaged, target);
    }

    private async Task<string> CreateKeyAsync(string[] scopes)
    {
        using var http = new HttpClient { BaseAddress = new Uri(_server.Url) };
        using var answer = await http.PostAsJsonAsync("v1/keys", new { name = "registry", scopes }, Stack.Cancellation);
        return (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync(Stack.Cancellation))!["key"]!;
    }

    private async Task<string[]> TagsAsync(string repository) =>
        [.. JsonNode.Parse(await SkopeoAsync("list-tags", "--tls-verify=false", repository))!["Tags"]!.AsArray().Select(t => (string)t!)];

    private Task<string> DockerAsync(params string[] arguments) => RunAsync("docker", arguments);

    private Task<string> SkopeoAsync(params string[] arguments) => RunAsync("skopeo", ["--insecure-policy", .. arguments]);

    /// <summary>Asserts that a command is refused, and says how.</summary>
    private async Task<string> FailsAsync(string file, params string[] arguments) =>
        (await Assert.ThrowsAsync<InvalidOperationException>(() => RunAsync(file, file == "skopeo" ? ["--insecure-policy", .. arguments] : arguments))).Message;

    // Neither reads nor writes what the user of this machine has logged in to.
    private async Task<string> RunAsync(string file, IReadOnlyList<string> arguments) => (await ServerProcess.RunAsync(file, arguments, new Dictionary<string, string>
    {
        ["DOCKER_HOST"] = _docker.Address,
        ["DOCKER_CONFIG"] = _folder.In("docker"),
        ["REGISTRY_AUTH_FILE"] = _folder.In("auth.json"),
    })).Trim();
}
