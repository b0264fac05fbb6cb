using System.Collections.Concurrent;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using MassTransit;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.Orchestrator;
using TinyMLaaS.WorkerHost;

namespace TinyMLaaS.Services.Tests.WorkerHost;

public sealed class WorkerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Transforms_step_by_step_and_stores_outputs_and_reports()
    {
        await using var system = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"), TestTransformer.Append("compiler/quantize", "+q"));

        var ended = await RunAsync(system, Runs.Of("compiler/fuse", "compiler/quantize"));

        Assert.Equal(RunStates.Succeeded, ended.State);
        Assert.Equal("net+f+q", await system.ReadAsync(ended.Steps[1].Outputs.Single()));
        Assert.Equal("{\n  \"appended\": \"+f\"\n}\n", await system.ReadAsync(ended.Steps[0].Report!));
        Assert.Equal(2, ended.Steps[0].Metrics["length"]);
        await NoAttemptFolderIsLeftAsync(system);
    }

    [Fact]
    public async Task Hands_over_datasets_options_reports_and_history()
    {
        TransformRequest? seen = null;
        string[] reports = [];
        string[] datasetFiles = [];
        await using var system = await StartAsync(
            TestTransformer.Append("compiler/fuse", "+f"),
            new TestTransformer("compiler/quantize", (request, _, _) =>
            {
                seen = request;
                reports = [.. request.History!.ReportPaths.Select(File.ReadAllText)];
                datasetFiles = [.. Directory.EnumerateFiles(request.Datasets[DatasetRoles.Calibrate].Path is var p && Directory.Exists(p) ? p : Path.GetDirectoryName(p)!).Select(Path.GetFileName).Order()!];
                return Copy(request);
            }, readsReports: true));
        var dataset = await system.PutAsync(ArtifactKinds.Dataset, PackedDatasets.OneNumber(_folder.Path));
        var run = Runs.Of("compiler/fuse", "compiler/quantize").With(2, """{"bits":8}""");
        run = run with
        {
            Seed = 7,
            Datasets = [new DatasetRef { Name = "speech", Artifact = dataset }],
            Pipeline = run.Pipeline with { Steps = [run.Pipeline.Steps[0], run.Pipeline.Steps[1] with { Datasets = new Dictionary<string, string> { [DatasetRoles.Calibrate] = "speech" } }] },
        };

        var ended = await RunAsync(system, run);

        Assert.Equal(RunStates.Succeeded, ended.State);
        Assert.Equal((7, "onnx", 8), (seen!.Seed, seen.InputKind, seen.Options!.Value.GetProperty("bits").GetInt32()));
        Assert.Equal(["{\n  \"appended\": \"+f\"\n}\n"], reports);
        Assert.Contains("x.npy", datasetFiles);
        Assert.Equal("model", seen.History!.ModelName);
        Assert.Equal("compiler/fuse", seen.History.Recipe["steps"]![0]!["uses"]!.GetValue<string>());
        Assert.Equal(ended.Steps[0].Outputs.Single().Digest, seen.History.Recipe["steps"]![0]!["output"]!["digest"]!.GetValue<string>());
    }

    [Fact]
    public async Task Hands_the_model_of_the_run_and_the_reports_to_a_transformer_that_asks_for_them_and_to_no_other()
    {
        var originals = new List<string?>();
        var reports = new List<int>();
        TransformResult Note(TransformRequest request)
        {
            originals.Add(request.OriginalPath is { } path ? File.ReadAllText(path) : null);
            reports.Add(request.History!.ReportPaths.Count);
            var output = Path.Combine(request.WorkFolder, "output.onnx");
            File.WriteAllText(output, File.ReadAllText(request.InputPath) + "!");
            return new TransformResult { OutputPath = output, Report = [] };
        }
        await using var system = await StartAsync(
            new TestTransformer("compiler/fuse", (request, _, _) => Note(request)),
            new TestTransformer("compiler/quantize", (request, _, _) => Note(request), readsOriginal: true),
            new TestTransformer("compiler/prune", (request, _, _) => Note(request), readsReports: true));

        var ended = await RunAsync(system, Runs.Of("compiler/fuse", "compiler/quantize", "compiler/prune"));

        Assert.Equal("net!!!", await system.ReadAsync(ended.Steps[2].Outputs.Single()));
        Assert.Equal([null, "net", null], originals);
        Assert.Equal([0, 0, 2], reports);
    }

    [Fact]
    public async Task A_rejected_model_fails_the_run_at_once_with_its_code()
    {
        await using var system = await StartAsync(new TestTransformer("compiler/fuse", (_, _, _) => throw new TransformRejectedException("unsupported-operator", "Cannot fuse 'x'.")));

        var ended = await RunAsync(system, Runs.Of("compiler/fuse"));

        Assert.Equal(RunStates.Failed, ended.State);
        Assert.Equal(new Failure { Code = "unsupported-operator", Message = "Cannot fuse 'x'.", Retryable = false }, ended.Failure);
        Assert.Single(ended.Steps[0].Attempts);
        await NoAttemptFolderIsLeftAsync(system);
    }

    [Fact]
    public async Task An_unexpected_error_is_tried_again_and_keeps_the_paths_of_the_machine_to_itself()
    {
        await using var system = await StartAsync(new TestTransformer("compiler/fuse", (_, _, _) => throw new InvalidDataException("Could not map '/home/secret/key.pem'.")));

        var ended = await RunAsync(system, Runs.Of("compiler/fuse"));

        Assert.Equal(RunStates.Failed, ended.State);
        Assert.Equal(new Failure { Code = "worker-error", Message = "InvalidDataException: Could not map 'key.pem'.", Retryable = true }, ended.Failure);
        Assert.Equal(3, ended.Steps[0].Attempts.Count);
        Assert.All(ended.Steps[0].Attempts, a => Assert.Equal(AttemptStates.Failed, a.State));
    }

    [Fact]
    public async Task An_error_that_goes_away_costs_an_attempt_and_not_the_run()
    {
        var tries = 0;
        await using var system = await StartAsync(new TestTransformer("compiler/fuse", (request, _, _) => Interlocked.Increment(ref tries) == 1 ? throw new IOException("once") : Copy(request)));

        var ended = await RunAsync(system, Runs.Of("compiler/fuse"));

        Assert.Equal(RunStates.Succeeded, ended.State);
        Assert.Equal([AttemptStates.Failed, AttemptStates.Succeeded], ended.Steps[0].Attempts.Select(a => a.State));
    }

    [Fact]
    public async Task An_output_that_fails_its_check_is_never_stored_and_fails_the_step()
    {
        await using var system = await SmallSystem.StartAsync(
            _folder.Path, [new TestWorkerModule("compiler", TestTransformer.Append("compiler/fuse", "+f")) { Checks = [new RefuseAll()] }]);

        var ended = await RunAsync(system, Runs.Of("compiler/fuse"));

        Assert.Equal(("output-refused", false), (ended.Failure!.Code, ended.Failure.Retryable));
        Assert.Null(await system.Store.HeadAsync(Tenants.Default, Runs.Artifact("net+f", ArtifactKinds.Onnx).Digest, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_transformer_that_makes_less_than_it_promises_fails_the_attempt()
    {
        await using var system = await StartAsync(new TestTransformer("compiler/fuse", (_, _, _) => new TransformResult { OutputPath = null, Report = [] }));

        var ended = await RunAsync(system, Runs.Of("compiler/fuse"));

        Assert.Equal("worker-error", ended.Failure!.Code);
        Assert.Contains("without the onnx that it promises", ended.Failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancelling_stops_the_work_and_ends_the_run()
    {
        using var started = new SemaphoreSlim(0);
        var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var system = await StartAsync(new TestTransformer("compiler/fuse", (_, _, cancellation) =>
        {
            started.Release();
            cancellation.WaitHandle.WaitOne();
            stopped.SetResult();
            throw new OperationCanceledException(cancellation);
        }));
        var run = Runs.Of("compiler/fuse", "compiler/fuse") with { Model = await system.PutAsync(ArtifactKinds.Onnx, "net") };
        await system.SubmitAsync(run);
        Assert.True(await started.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));

        var answer = await system.Bus.CreateRequestClient<CancelRun>().GetResponse<CancelRunAccepted>(
            new CancelRun { Tenant = Tenants.Default, RunId = run.RunId }, TestContext.Current.CancellationToken);
        Assert.Equal(RunStates.Cancelling, answer.Message.State);
        await stopped.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        var ended = await system.EndAsync(run.RunId);

        Assert.Equal(RunStates.Cancelled, ended.State);
        Assert.Equal([StepStates.Cancelled, StepStates.Cancelled], ended.Steps.Select(s => s.State));
        Assert.Equal(AttemptStates.Cancelled, ended.Steps[0].Attempts.Single().State);
    }

    [Fact]
    public async Task Progress_and_log_are_told_while_the_work_goes_on()
    {
        using var goOn = new SemaphoreSlim(0);
        await using var system = await StartAsync(new TestTransformer("compiler/fuse", (request, progress, cancellation) =>
        {
            progress.Report(new TransformProgress(0.25, "folding"));
            goOn.Wait(cancellation);
            return Copy(request);
        }));
        var run = Runs.Of("compiler/fuse") with { Model = await system.PutAsync(ArtifactKinds.Onnx, "net") };
        await system.SubmitAsync(run);

        StepResource? step = null;
        await OrchestratorHost.UntilAsync(async () =>
        {
            step = await system.Http.GetFromJsonAsync<StepResource>($"v1/runs/{run.RunId}/steps/1", ContractJson.Options, TestContext.Current.CancellationToken);
            return step!.Progress > 0;
        });
        Assert.Equal((StepStates.Running, 0.25, "folding"), (step!.State, step.Progress, step.Activity));
        goOn.Release();
        await system.EndAsync(run.RunId);

        var log = await system.Http.GetStringAsync($"v1/runs/{run.RunId}/steps/1/logs?follow=true", TestContext.Current.CancellationToken);
        var lines = log.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l[(l.IndexOf(' ') + 1)..]).ToArray();
        Assert.StartsWith("compiler/fuse 1, attempt 1, on compiler-", lines[0], StringComparison.Ordinal);
        Assert.Equal([$"input {run.Model.Digest}, 3 bytes", "folding", $"output {run.Model.Digest}, 3 bytes"], lines[1..]);
    }

    [Fact]
    public async Task An_offer_that_comes_twice_is_worked_on_once()
    {
        var inputs = new ConcurrentQueue<string>();
        using var goOn = new SemaphoreSlim(0);
        await using var system = await StartAsync(new TestTransformer("compiler/fuse", (request, _, cancellation) =>
        {
            inputs.Enqueue(request.InputPath);
            goOn.Wait(cancellation);
            return Copy(request);
        }));
        var offers = new ConcurrentQueue<StepOffer>();
        var handle = system.Bus.ConnectReceiveEndpoint("spy", e =>
        {
            e.Handler<StepOffer>(c =>
            {
                offers.Enqueue(c.Message);
                return Task.CompletedTask;
            });
            ((IInMemoryReceiveEndpointConfigurator)e).Bind("v1.offer.any.compiler");
        });
        await handle.Ready;
        var run = Runs.Of("compiler/fuse") with { Model = await system.PutAsync(ArtifactKinds.Onnx, "net") };
        await system.SubmitAsync(run);
        await OrchestratorHost.UntilAsync(() => Task.FromResult(!inputs.IsEmpty && !offers.IsEmpty));

        Assert.True(offers.TryPeek(out var offer));
        var endpoint = await system.Bus.GetSendEndpoint(new Uri("queue:v1.offer.any.compiler"));
        await endpoint.Send(offer, TestContext.Current.CancellationToken);
        await endpoint.Send(offer, TestContext.Current.CancellationToken);
        goOn.Release(10);
        var ended = await system.EndAsync(run.RunId);

        Assert.Equal(RunStates.Succeeded, ended.State);
        Assert.Single(ended.Steps[0].Attempts);
        Assert.Single(inputs);
    }

    [Fact]
    public async Task A_process_that_ends_in_the_middle_is_followed_by_one_that_finishes_once()
    {
        using var started = new SemaphoreSlim(0);
        var model = await FirstLifeAsync();
        var runs = 0;
        await using var second = await StartAsync(
            TestTransformer.Append("compiler/fuse", "+f"),
            new TestTransformer("compiler/quantize", (request, _, _) =>
            {
                Interlocked.Increment(ref runs);
                return Copy(request);
            }));
        var ended = await second.EndAsync(model.RunId);

        Assert.Equal(RunStates.Succeeded, ended.State);
        Assert.Equal(1, runs);
        Assert.Equal("net+f", await second.ReadAsync(ended.Steps[1].Outputs.Single()));
        Assert.Single(ended.Steps[0].Attempts);
        Assert.Equal([AttemptStates.Lost, AttemptStates.Succeeded], ended.Steps[1].Attempts.Select(a => a.State));
        await NoAttemptFolderIsLeftAsync(second);

        async Task<SubmitRun> FirstLifeAsync()
        {
            await using var first = await StartAsync(
                TestTransformer.Append("compiler/fuse", "+f"),
                new TestTransformer("compiler/quantize", (_, _, cancellation) =>
                {
                    started.Release();
                    cancellation.WaitHandle.WaitOne();
                    throw new OperationCanceledException(cancellation);
                }));
            var run = Runs.Of("compiler/fuse", "compiler/quantize") with { Model = await first.PutAsync(ArtifactKinds.Onnx, "net") };
            await first.SubmitAsync(run);
            Assert.True(await started.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
            return run;
        }
    }

    [Fact]
    public async Task Folders_of_dead_workers_are_removed_and_those_of_living_ones_kept()
    {
        var work = Directory.CreateDirectory(Path.Combine(_folder.Path, "work")).FullName;
        var dead = Directory.CreateDirectory(Path.Combine(work, "compiler-dead")).FullName;
        await File.WriteAllTextAsync(Path.Combine(dead, "lock"), "", TestContext.Current.CancellationToken);
        var living = Directory.CreateDirectory(Path.Combine(work, "compiler-living")).FullName;
        await using var held = new FileStream(Path.Combine(living, "lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None);

        await using var system = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"));

        Assert.False(Directory.Exists(dead));
        Assert.True(Directory.Exists(living));
    }

    private Task<SmallSystem> StartAsync(params ITransformer[] transformers) =>
        SmallSystem.StartAsync(_folder.Path, [new TestWorkerModule("compiler", transformers)]);

    private static async Task<RunResource> RunAsync(SmallSystem system, SubmitRun run)
    {
        run = run with { Model = await system.PutAsync(ArtifactKinds.Onnx, "net") };
        await system.SubmitAsync(run);
        return await system.EndAsync(run.RunId);
    }

    private static TransformResult Copy(TransformRequest request)
    {
        var output = Path.Combine(request.WorkFolder, "output.onnx");
        File.Copy(request.InputPath, output);
        return new TransformResult { OutputPath = output, Report = new JsonObject { ["copied"] = true } };
    }

    private static Task NoAttemptFolderIsLeftAsync(SmallSystem system) => OrchestratorHost.UntilAsync(() =>
        Task.FromResult(!Directory.EnumerateDirectories(system.WorkFolder).SelectMany(Directory.EnumerateDirectories).Any()));

    private sealed class RefuseAll : IArtifactCheck
    {
        public string Kind => ArtifactKinds.Onnx;

        public string Code => "output-refused";

        public string? WhyNot(string path) => "the test refuses everything";
    }
}
