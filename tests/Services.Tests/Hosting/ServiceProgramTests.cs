using System.Diagnostics;
using System.Text.Json;

namespace TinyMLaaS.Services.Tests.Hosting;

/// <summary>Each service as a program, with everything wrong: all is said at once, and the exit code is 2.</summary>
public sealed class ServiceProgramTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string, string[], string[]> Programs() => new()
    {
        {
            "Orchestrator",
            ["Orchestrator__Database=Host=", "Orchestrator__LeaseSeconds=0", "Orchestrator__OfferSeconds=0", "Orchestrator__MaxAttempts=0", "Orchestrator__MaxDeaths=0", "Orchestrator__RetrySeconds=-1", "Orchestrator__SilenceSeconds=0", "Orchestrator__HeartbeatSeconds=0"],
            ["Bus:Address", "Orchestrator:Database", "LeaseSeconds", "OfferSeconds", "MaxAttempts", "MaxDeaths", "RetrySeconds", "SilenceSeconds", "HeartbeatSeconds"]
        },
        {
            "PipelineApi",
            ["PipelineApi__Database=Host=", "PipelineApi__SilenceSeconds=0", "PipelineApi__HandOverSeconds=0", "PipelineApi__ArtifactRetentionHours=0", "Services__orchestrator=nowhere", "Services__artifact-store=elsewhere"],
            ["Bus:Address", "PipelineApi:Database", "PipelineApi:SilenceSeconds", "PipelineApi:HandOverSeconds", "PipelineApi:ArtifactRetentionHours", "Services:orchestrator: 'nowhere'", "Services:artifact-store: 'elsewhere'"]
        },
        {
            "ArtifactStore",
            ["ArtifactStore__MaxBytes=0", "ArtifactStore__UploadHours=0", "ArtifactStore__MaxUploads=0", "ArtifactStore__MaxUploadBytes=0"],
            ["ArtifactStore:Root", "ArtifactStore:MaxBytes", "ArtifactStore:UploadHours", "ArtifactStore:MaxUploads", "ArtifactStore:MaxUploadBytes"]
        },
        { "Compiler", ["Worker__Slots=0", "Worker__MemoryLimitMiB=1"], ["Bus:Address", "Services:artifact-store", "WorkFolder", "Slots", "MemoryLimitMiB"] },
        { "Installer", ["Worker__Slots=0", "Worker__MemoryLimitMiB=1"], ["Bus:Address", "Services:artifact-store", "WorkFolder", "Slots", "MemoryLimitMiB"] },
    };

    [Theory]
    [MemberData(nameof(Programs))]
    public async Task With_every_option_wrong_each_is_named_at_once(string program, string[] options, string[] expected)
    {
        var (code, output) = await RunAsync(program, [], [.. options, "Service__Listen=http://everywhere:80", "Bus__Address=http://guest:hunter2@host", "Services__CredentialFile=/absent/file"]);

        Assert.True(code == 2, output);
        var violations = output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonElement.Parse(l)).Where(l => l.TryGetProperty("Violation", out _)).Select(l => l.GetProperty("Violation").GetString()!).ToArray();
        Assert.All([.. expected, "Service:Listen is 'http://everywhere:80'", "Services:CredentialFile cannot be read"], name =>
            Assert.True(violations.Any(v => v.Contains(name, StringComparison.Ordinal)), $"Nothing is said of {name}: {output}"));
        Assert.DoesNotContain("hunter2", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_option_that_is_no_number_is_named_too()
    {
        var (code, output) = await RunAsync("ArtifactStore", [], ["ArtifactStore__MaxBytes=many", "Service__Listen=nowhere"]);

        Assert.Equal(2, code);
        Assert.Contains("ArtifactStore:MaxBytes", output, StringComparison.Ordinal);
        Assert.Contains("Service:Listen is 'nowhere'", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_argument_that_nobody_knows_is_refused_with_those_that_are()
    {
        var (code, output) = await RunAsync("PipelineApi", ["create-keys"], []);

        Assert.Equal(2, code);
        Assert.Contains("create-key TENANT NAME [SCOPE,SCOPE... [FILE]]", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("default")]
    [InlineData("NO default")]
    [InlineData("default name runs:everything")]
    [InlineData("default name runs:read /etc/hostname")]
    public async Task A_first_key_that_cannot_be_is_refused(string arguments)
    {
        var (code, output) = await RunAsync("PipelineApi", ["create-key", .. arguments.Split(' ')], [.. Database, "PipelineApi__MigrateAtStart=true"]);

        Assert.Equal(2, code);
        Assert.Contains("xpected", output.Replace("takes TENANT NAME", "expected", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0.5")]
    [InlineData("-24")]
    [InlineData("many")]
    [InlineData("24 --really")]
    public async Task A_garbage_collection_that_cannot_be_meant_is_refused(string arguments)
    {
        var (code, output) = await RunAsync("PipelineApi", ["collect-garbage", .. arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)], Database);

        Assert.Equal(2, code);
        Assert.Contains(arguments is "" or "24 --really" ? "takes HOURS [--dry-run]" : $"'{arguments}' is no retention", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_everyone_who_may_refer_to_artifacts_no_garbage_is_collected()
    {
        var (code, output) = await RunAsync("PipelineApi", ["collect-garbage", "24"], Database);

        Assert.Equal(1, code);
        Assert.Contains("Cannot collect garbage: the service 'artifact-store' is unavailable", output, StringComparison.Ordinal);
    }

    private string[] Database =>
    [
        $"PipelineApi__Database={_folder["api.db"]}", "Bus__Address=amqp://guest:guest@127.0.0.1:1/", "Service__Listen=http://127.0.0.1:0", "Services__orchestrator=http://127.0.0.1:1",
        "Services__artifact-store=http://127.0.0.1:1",
    ];

    private static async Task<(int Code, string Output)> RunAsync(string program, string[] arguments, string[] options)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, $"TinyMLaaS.{program}.dll"));
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        foreach (var option in options)
            start.Environment[option.Split('=', 2)[0]] = option.Split('=', 2)[1];
        using var process = Process.Start(start)!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken), process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output + await errors);
    }
}
