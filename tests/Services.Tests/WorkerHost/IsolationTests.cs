using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using MassTransit;
using TinyMLaaS.Compiler;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Engine.Transformers.Fuse;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.Orchestrator;
using TinyMLaaS.TestWorker;

namespace TinyMLaaS.Services.Tests.WorkerHost;

/// <summary>Attempts in processes of their own: whatever happens there costs the attempt, and the worker goes on.</summary>
public sealed class IsolationTests : IDisposable
{
    private const int LimitMiB = 512;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(Misbehaviour.WriteToZero, "signal 11 (SIGSEGV: invalid memory access)")]
    [InlineData(Misbehaviour.Abort, "signal 6 (SIGABRT: aborted)")]
    [InlineData(Misbehaviour.FailFast, "signal 6 (SIGABRT: aborted)")]
    [InlineData(Misbehaviour.Recurse, "signal 6 (SIGABRT: aborted)")]
    [InlineData(Misbehaviour.Kill, "signal 9 (SIGKILL: killed, as the system does when the machine's memory ends)")]
    [InlineData(Misbehaviour.Exit, "exit code 3")]
    public async Task A_crash_costs_its_attempts_and_the_worker_goes_on(Misbehaviour how, string told)
    {
        await using var system = await StartAsync();

        var crashed = await RunAsync(system, how);

        Assert.Equal(RunStates.Failed, crashed.State);
        Assert.Equal(("worker-crashed", true), (crashed.Failure!.Code, crashed.Failure.Retryable));
        Assert.StartsWith($"tests/misbehave crashed: its process ended {(told[0] == 's' ? "by" : "with")} {told} and without a result.", crashed.Failure.Message, StringComparison.Ordinal);
        Assert.Equal([AttemptStates.Failed, AttemptStates.Failed, AttemptStates.Failed], crashed.Steps[0].Attempts.Select(a => a.State));
        Assert.Equal(RunStates.Succeeded, (await RunAsync(system, Misbehaviour.Copy)).State);
    }

    [Fact]
    public async Task A_crash_that_does_not_come_again_costs_one_attempt()
    {
        await using var system = await StartAsync();

        var ended = await RunAsync(system, Misbehaviour.WriteToZero, once: _folder["crashed"]);

        Assert.Equal(RunStates.Succeeded, ended.State);
        Assert.Equal([AttemptStates.Failed, AttemptStates.Succeeded], ended.Steps[0].Attempts.Select(a => a.State));
        Assert.Equal("net", await system.ReadAsync(ended.Steps[0].Outputs.Single()));
    }

    [Theory]
    [InlineData(Misbehaviour.NativeMemory)]
    [InlineData(Misbehaviour.ManagedMemory)]
    public async Task Memory_beyond_the_limit_ends_the_step_at_once_and_the_worker_goes_on(Misbehaviour how)
    {
        await using var system = await StartAsync();

        var ended = await RunAsync(system, how);

        Assert.Equal(new Failure
        {
            Code = "memory-exceeded",
            Message = "tests/misbehave needs more memory than the 512 MiB that an attempt may take on this worker. Use a smaller network or smaller samples, or have its operator raise Worker:MemoryLimitMiB.",
            Retryable = false,
        }, ended.Failure);
        Assert.Single(ended.Steps[0].Attempts);
        Assert.Equal(RunStates.Succeeded, (await RunAsync(system, Misbehaviour.Copy)).State);
    }

    [Fact]
    public async Task What_a_crashed_process_wrote_is_in_the_log_of_its_attempt_without_paths_and_bounded()
    {
        await using var system = await StartAsync();

        var crashed = await RunAsync(system, Misbehaviour.FailFast);
        var log = await LogAsync(system, crashed);

        Assert.Contains("There is no way on with 'input.onnx'.", log, StringComparison.Ordinal);
        Assert.DoesNotContain(_folder.Path, log, StringComparison.Ordinal);
        Assert.InRange(log.Length, 100, 3 * 20 * 1024);
    }

    [Fact]
    public async Task Output_to_the_standard_streams_neither_disturbs_nor_blocks()
    {
        await using var system = await StartAsync();

        Assert.Equal(RunStates.Succeeded, (await RunAsync(system, Misbehaviour.Chatter)).State);
    }

    [Fact]
    public async Task Rejections_errors_checks_and_numbers_come_through_as_from_this_process()
    {
        await using var system = await StartAsync();

        Assert.Equal(new Failure { Code = "unreadable", Message = "Cannot read 'input.onnx'.", Retryable = false }, (await RunAsync(system, Misbehaviour.Reject)).Failure);
        Assert.Equal(new Failure { Code = "worker-error", Message = "InvalidDataException: Could not map 'input.onnx'.", Retryable = true }, (await RunAsync(system, Misbehaviour.Throw)).Failure);
        Assert.Equal(
            new Failure { Code = "output-refused", Message = "The output of tests/misbehave is not a valid onnx: it says so itself", Retryable = false }, (await RunAsync(system, Misbehaviour.BadOutput)).Failure);
        var ended = await RunAsync(system, Misbehaviour.NotANumber);
        Assert.Equal(RunStates.Succeeded, ended.State);
        Assert.Equal(new Dictionary<string, double> { ["good"] = 1 }, ended.Steps[0].Metrics);
        Assert.Contains("bad is NaN, which is no number, and is left out", await LogAsync(system, ended), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_process_works_in_the_folder_of_its_attempt_and_knows_nothing_of_the_workers_environment()
    {
        Environment.SetEnvironmentVariable("TINYML_SECRET", "secret");
        await using var system = await StartAsync();

        var ended = await RunAsync(system, Misbehaviour.Tell);

        var report = JsonDocument.Parse(await system.ReadAsync(ended.Steps[0].Report!)).RootElement;
        var work = report.GetProperty("work").GetString()!;
        Assert.StartsWith(system.WorkFolder, work, StringComparison.Ordinal);
        Assert.Equal((work, work + "/"), (report.GetProperty("current").GetString(), report.GetProperty("temporary").GetString()));
        Assert.Equal(JsonValueKind.Null, report.GetProperty("secret").ValueKind);
        var log = await LogAsync(system, ended);
        Assert.Contains("peak memory ", log, StringComparison.Ordinal);
        Assert.NotEqual(Environment.ProcessId, ProcessIn(log));
        Assert.False(IsThere(ProcessIn(log)), "The process outlived its attempt.");
    }

    [Fact]
    public async Task Cancelling_ends_the_process_even_in_native_code_that_never_returns()
    {
        await using var system = await StartAsync();
        var (run, process) = await HangAsync(system);
        var watch = Stopwatch.StartNew();

        await system.Bus.CreateRequestClient<CancelRun>().GetResponse<CancelRunAccepted>(new CancelRun { Tenant = Tenants.Default, RunId = run }, TestContext.Current.CancellationToken);
        await GoneAsync(process);
        TestContext.Current.TestOutputHelper?.WriteLine($"gone after {watch.ElapsedMilliseconds} ms");

        Assert.Equal(RunStates.Cancelled, (await system.EndAsync(run)).State);
    }

    [Fact]
    public async Task A_worker_that_stops_takes_its_processes_along()
    {
        int process;
        await using (var system = await StartAsync())
            (_, process) = await HangAsync(system);

        await GoneAsync(process);
    }

    [Fact]
    public async Task Processes_end_with_a_worker_that_is_killed()
    {
        using var host = Process.Start(new ProcessStartInfo("dotnet", ["exec", typeof(LoneHost).Assembly.Location, "host", _folder.Path]) { RedirectStandardOutput = true })!;
        try
        {
            using var limit = new CancellationTokenSource(OrchestratorHost.Limit);
            int[] processes = [.. (await host.StandardOutput.ReadLineAsync(limit.Token))!.Split(' ').Select(id => int.Parse(id, CultureInfo.InvariantCulture))];
            Assert.Equal(2, processes.Length);
            Assert.All(processes, p => Assert.True(IsThere(p)));

            host.Kill();

            foreach (var process in processes)
                await GoneAsync(process);
        }
        finally
        {
            if (!host.HasExited)
                host.Kill();
        }
    }

    [Theory]
    [InlineData(1_000, null)]
    [InlineData(1_000_000_000, "memory-exceeded")]
    public async Task A_network_that_ONNX_Runtime_cannot_run_within_the_limit_is_refused(long ones, string? code)
    {
        await using var system = await SmallSystem.StartAsync(_folder.Path, [new CompilerModule()], settings => settings["Worker:MemoryLimitMiB"] = LimitMiB.ToString(CultureInfo.InvariantCulture));
        var dataset = await system.PutAsync(ArtifactKinds.Dataset, PackedDatasets.OneNumber(_folder.Path));
        var run = Runs.Of("compiler/fuse") with
        {
            Model = await system.PutAsync(ArtifactKinds.Onnx, HungryNetwork.Bytes(ones)),
            Datasets = [new DatasetRef { Name = "test", Artifact = dataset }],
        };
        run = run with { Steps = [run.Steps[0] with { Version = new Fuse().Info.Version }] };
        run = run with { Pipeline = run.Pipeline with { Evaluate = new PipelineEvaluation { Dataset = "test", Metric = "agreement" } } };
        await system.SubmitAsync(run);

        var ended = await system.EndAsync(run.RunId);

        Assert.Equal(code, ended.Failure?.Code);
        Assert.Equal(code is null ? RunStates.Succeeded : RunStates.Failed, ended.State);
    }

    private Task<SmallSystem> StartAsync() =>
        SmallSystem.StartAsync(_folder.Path, [new MisbehavingModule()], settings => settings["Worker:MemoryLimitMiB"] = LimitMiB.ToString(CultureInfo.InvariantCulture));

    private static async Task<SubmitRun> SubmitAsync(SmallSystem system, Misbehaviour how, string? once = null)
    {
        var options = JsonSerializer.Serialize(new { how = JsonNamingPolicy.KebabCaseLower.ConvertName(how.ToString()), once });
        var run = Runs.Of("tests/misbehave").With(1, options) with { Model = await system.PutAsync(ArtifactKinds.Onnx, "net") };
        await system.SubmitAsync(run);
        return run;
    }

    private static async Task<RunResource> RunAsync(SmallSystem system, Misbehaviour how, string? once = null) => await system.EndAsync((await SubmitAsync(system, how, once)).RunId);

    private static async Task<(Guid Run, int Process)> HangAsync(SmallSystem system)
    {
        var run = await SubmitAsync(system, Misbehaviour.Hang);
        StepResource? step = null;
        await OrchestratorHost.UntilAsync(async () =>
        {
            step = await system.Http.GetFromJsonAsync<StepResource>($"v1/runs/{run.RunId}/steps/1", ContractJson.Options, TestContext.Current.CancellationToken);
            return step!.Activity is not null;
        });
        var process = ProcessIn(step!.Activity!);
        Assert.True(IsThere(process));
        return (run.RunId, process);
    }

    private static Task<string> LogAsync(SmallSystem system, RunResource run) =>
        system.Http.GetStringAsync($"v1/runs/{run.Id}/steps/1/logs?follow=true", TestContext.Current.CancellationToken);

    private static int ProcessIn(string text) => int.Parse(text.Split("process ")[1].Split('\n')[0], CultureInfo.InvariantCulture);

    private static Task GoneAsync(int process) => OrchestratorHost.UntilAsync(() => Task.FromResult(!IsThere(process)));

    /// <summary>True while a process runs; one that only waits to be asked for its exit code does not.</summary>
    private static bool IsThere(int process)
    {
        try
        {
            return File.ReadAllText($"/proc/{process}/stat").Split(") ")[^1][0] is not ('Z' or 'X');
        }
        catch (IOException)
        {
            return false;
        }
    }
}
