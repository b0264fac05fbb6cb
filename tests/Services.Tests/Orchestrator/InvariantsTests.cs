using System.Text;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestration.Testing;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>The invariant checker finds nothing in what the orchestrator wrote, and finds each thing that is planted there.</summary>
public sealed class InvariantsTests(InvariantsTests.Rows rows) : IClassFixture<InvariantsTests.Rows>
{
    private const string Other = "somebody-else";

    private static readonly string[] EventTypes =
    [
        .. "artifact.stored run.accepted run.cancelled run.cancelling run.failed run.resumed run.started run.succeeded step.cached step.failed step.lost step.offered step.progressed step.started step.succeeded"
            .Split(' ').Select(e => $"io.tinymlaas.{e}.v1"),
    ];

    // The run 'plain' has two steps: fences 1 (failed) and 2 (succeeded), then 3 (lost) and 4 (succeeded). Its events:
    // 1 accepted, 2 offered, 3 started, 4 started, 5 failed, 6 offered, 7 started, 8 progressed, 9 succeeded, 10 stored, 11 offered, 12 started, 13 lost,
    // 14 offered, 15 started, 16 succeeded, 17 stored, 18 succeeded.
    public static TheoryData<string, string, string, int?, long?> Plants() => new()
    {
        { "a run without an end", "UPDATE runs SET EndedAt = NULL WHERE CorrelationId = $plain", "I1", null, null },
        { "a run that ended in two ways", "UPDATE runs SET CurrentState = 'Cancelled' WHERE CorrelationId = $plain", "I4", null, null },
        { "an end that is told twice", "INSERT INTO run_events (RunId, Sequence, Tenant, Type, At, Data) SELECT RunId, 19, Tenant, 'io.tinymlaas.run.cancelled.v1', At, replace(Data, '\"sequence\":18', '\"sequence\":19') FROM run_events WHERE RunId = $plain AND Sequence = 18", "I1", null, null },
        { "an event after the end", "INSERT INTO run_events (RunId, Sequence, Tenant, Type, At, Data) SELECT RunId, 19, Tenant, 'io.tinymlaas.run.cancelling.v1', At, replace(Data, '\"sequence\":18', '\"sequence\":19') FROM run_events WHERE RunId = $plain AND Sequence = 18", "I1", null, null },
        { "a resumption of a run that succeeded", "UPDATE run_events SET Type = 'io.tinymlaas.run.succeeded.v1' WHERE RunId = $resumed AND Type = 'io.tinymlaas.run.failed.v1'", "I1", null, null },
        { "a second end without a resumption", "UPDATE run_events SET Type = 'io.tinymlaas.run.cancelled.v1', Data = (SELECT replace(Data, '\"sequence\":10', '\"sequence\":11') FROM run_events WHERE RunId = $resumed AND Sequence = 10) WHERE RunId = $resumed AND Sequence = 11", "I1", null, null },
        { "a resumption that no event tells", "UPDATE runs SET Resumptions = 3 WHERE CorrelationId = $resumed", "I4", null, null },
        { "a resumption that repeats a finished step", "UPDATE run_events SET Data = replace(Data, '\"step\":2', '\"step\":1') WHERE RunId = $resumed AND Type = 'io.tinymlaas.run.resumed.v1'", "I4", 1, null },
        { "a cancellation that nobody asked for", "DELETE FROM run_events WHERE RunId = $resumed AND Type = 'io.tinymlaas.run.cancelling.v1'", "I1", null, null },
        { "a step left behind", "UPDATE run_steps SET State = 'pending' WHERE RunId = $plain AND Position = 2", "I1", 2, null },
        { "a failure of a run that succeeded", "UPDATE runs SET Failure = (SELECT Failure FROM step_attempts WHERE RunId = $plain AND Fence = 1) WHERE CorrelationId = $plain", "I1", null, null },
        { "two winners", "UPDATE step_attempts SET State = 'succeeded' WHERE RunId = $plain AND Fence = 3", "I2", 2, 4 },
        { "no winner", "UPDATE step_attempts SET State = 'lost' WHERE RunId = $plain AND Fence = 4", "I2", 2, null },
        { "a step that is committed twice", "UPDATE run_events SET Type = 'io.tinymlaas.step.succeeded.v1', Data = (SELECT replace(Data, '\"sequence\":16', '\"sequence\":17') FROM run_events WHERE RunId = $plain AND Sequence = 16) WHERE RunId = $plain AND Sequence = 17", "I2", 2, 4 },
        { "two active attempts", "UPDATE step_attempts SET State = 'running', EndedAt = NULL WHERE RunId = $plain AND Step = 2", "I2", 2, 4 },
        { "an old attempt that won", "UPDATE step_attempts SET State = CASE Fence WHEN 3 THEN 'succeeded' ELSE 'lost' END WHERE RunId = $plain AND Step = 2", "I3", 2, 3 },
        { "a fence that was never given", "UPDATE step_attempts SET Fence = 7 WHERE RunId = $plain AND Fence = 2", "I3", null, null },
        { "fences that go back", "UPDATE step_attempts SET Fence = CASE Fence WHEN 3 THEN -3 ELSE 3 END WHERE RunId = $plain AND Step = 2; UPDATE step_attempts SET Fence = 4 WHERE RunId = $plain AND Fence = -3", "I3", 2, 3 },
        { "a commit under an old fence", "UPDATE run_events SET Data = replace(Data, '\"fence\":4', '\"fence\":3') WHERE RunId = $plain AND Sequence = 16", "I3", 2, 3 },
        { "a commit of an attempt that was lost", "UPDATE run_events SET Data = replace(replace(Data, '\"fence\":2', '\"fence\":1'), '\"attempt\":2', '\"attempt\":1') WHERE RunId = $plain AND Sequence = 9", "I3", 1, 1 },
        { "a gap in the events", "DELETE FROM run_events WHERE RunId = $plain AND Sequence = 8", "I4", null, null },
        { "a last event that is missing", "DELETE FROM run_events WHERE RunId = $plain AND Sequence = 18", "I4", null, null },
        { "an event that says another place of itself", "UPDATE run_events SET Data = replace(Data, '\"sequence\":8', '\"sequence\":9') WHERE RunId = $plain AND Sequence = 8", "I4", null, null },
        { "an artifact that no attempt has made", "UPDATE run_events SET Data = replace(Data, '\"size\":', '\"size\":1') WHERE RunId = $plain AND Sequence = 10", "I4", 1, null },
        { "an output that no event tells", "UPDATE run_steps SET Outputs = (SELECT Outputs FROM run_steps WHERE RunId = $plain AND Position = 1) WHERE RunId = $plain AND Position = 2", "I4", 2, null },
        { "a worker that no event tells", "UPDATE step_attempts SET Worker = 'somebody' WHERE RunId = $plain AND Fence = 2", "I4", 1, 2 },
        { "metrics that no event tells", "UPDATE run_steps SET Metrics = '{\"top1\":0.5}' WHERE RunId = $cached AND Position = 3", "I4", 3, null },
        { "a lease after the end", "UPDATE step_attempts SET State = 'running', EndedAt = NULL WHERE RunId = $plain AND Fence = 4", "I5", 2, 4 },
        { "a slot after the end", "UPDATE step_attempts SET State = 'offered', EndedAt = NULL WHERE RunId = $stopped AND Fence = 1", "I5", 1, 1 },
        { "a step that nobody works on", "UPDATE run_steps SET State = 'running' WHERE RunId = $open AND Position = 1", "I5", 1, null },
        { "another tenant's run in an event", "UPDATE run_events SET Data = replace(Data, '\"progress\":', '\"foreign\":\"' || lower($foreign) || '\",\"progress\":') WHERE RunId = $plain AND Sequence = 8", "I10", null, null },
        { "another tenant's run in a log line", "UPDATE step_log_lines SET Text = 'as in ' || lower($foreign) WHERE RunId = $plain AND Step = 1", "I10", 1, null },
        { "another tenant's name in an event", "UPDATE run_events SET Data = replace(Data, '\"tenant\":\"default\"', '\"tenant\":\"somebody-else\"') WHERE RunId = $plain AND Sequence = 8", "I10", null, null },
        { "a result from another tenant's cache", "UPDATE step_cache SET Tenant = 'somebody-else'", "I10", 1, null },
    };

    [Fact]
    public async Task Finds_nothing_wrong_with_what_the_orchestrator_wrote()
    {
        await using var database = rows.Copy();
        var scope = new InvariantScope { Artifacts = rows.OpenAsync, Subscribers = [rows.Subscriber(Tenants.Default), rows.Subscriber(Other)] };

        Assert.Empty(await Invariants.CheckAsync(database, scope, TestContext.Current.CancellationToken));

        // The runs went through everything that there is, so that nothing is right only because it is not there.
        Assert.Equal(
            ["Accepted", "Cancelled", "Cancelling", "Failed", "Running", "Succeeded"],
            await database.Runs.Select(r => r.CurrentState).Distinct().Order().ToListAsync(TestContext.Current.CancellationToken));
        Assert.Equal(
            EventTypes,
            await database.Events.Select(e => e.Type).Distinct().Order().ToListAsync(TestContext.Current.CancellationToken));
    }

    [Theory]
    [MemberData(nameof(Plants))]
    public async Task Finds(string plant, string sql, string rule, int? step, long? fence)
    {
        await using var database = rows.Copy();
        var changed = await rows.PlantAsync(database, sql);
        Assert.True(changed > 0, $"{plant} was not planted");

        var violations = await Invariants.CheckAsync(database, new InvariantScope(), TestContext.Current.CancellationToken);

        Assert.Contains(violations, v => v.Rule == rule && v.Run is not null && v.Step == step && v.Fence == fence);
        Assert.All(violations, v => Assert.Contains($"{v.Rule} run {v.Run}", v.ToString(), StringComparison.Ordinal));
    }

    [Fact]
    public async Task Finds_what_has_not_ended_once_all_is_quiet()
    {
        await using var database = rows.Copy();

        var violations = await Invariants.CheckAsync(database, new InvariantScope { Quiet = true, Undelivered = new Dictionary<string, long> { ["the outbox"] = 2, ["the dead letters"] = 0 } }, TestContext.Current.CancellationToken);

        Assert.Equal(
            new[] { rows.Runs["open"], rows.Runs["held"], rows.Runs["stopping"] }.Order(),
            violations.Where(v => v.Rule == "I1").Select(v => v.Run!.Value).Order());
        Assert.Equal("I5: all is quiet and the outbox still holds 2", Assert.Single(violations, v => v.Rule == "I5").ToString());
    }

    [Fact]
    public async Task Finds_artifacts_that_are_missing_or_not_what_they_are_called()
    {
        await using var database = rows.Copy();
        var missing = Orchestrator.Runs.Artifact("output of compiler/fuse at 1", ArtifactKinds.Onnx).Digest;
        var flipped = Orchestrator.Runs.Artifact("report of compiler/quantize at 2", ArtifactKinds.Report).Digest;
        var cut = Orchestrator.Runs.Artifact("the model", ArtifactKinds.Onnx).Digest;
        Task<Stream?> OpenAsync(string tenant, string digest, CancellationToken cancellation) => tenant == Tenants.Default && digest == missing ? Task.FromResult<Stream?>(null)
            : digest == flipped ? Task.FromResult<Stream?>(new MemoryStream("Report of compiler/quantize at 2"u8.ToArray()))
            : digest == cut ? Task.FromResult<Stream?>(new MemoryStream("the"u8.ToArray()))
            : rows.OpenAsync(tenant, digest, cancellation);

        var violations = await Invariants.CheckAsync(database, new InvariantScope { Artifacts = OpenAsync }, TestContext.Current.CancellationToken);

        Assert.All(violations, v => Assert.Equal("I6", v.Rule));
        Assert.Contains(violations, v => v.Run == rows.Runs["plain"] && v.Step == 1 && v.Message == $"output {missing} is not in the store of default");
        Assert.DoesNotContain(violations, v => v.Run == rows.Runs["foreign"] && v.Step == 1);
        Assert.Contains(violations, v => v.Run == rows.Runs["plain"] && v.Step == 2 && v.Message.StartsWith($"report {flipped} hashes to sha256:", StringComparison.Ordinal));
        Assert.Contains(violations, v => v.Run == rows.Runs["plain"] && v.Step is null && v.Message.StartsWith($"the model {cut} hashes to sha256:", StringComparison.Ordinal));
        Assert.Contains(violations, v => v.Run is null && v.Message.StartsWith("entry ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Finds_sizes_that_differ()
    {
        await using var database = rows.Copy();
        await rows.PlantAsync(database, "UPDATE run_steps SET Report = replace(Report, '\"size\":', '\"size\":1') WHERE RunId = $plain AND Position = 1");

        var violations = await Invariants.CheckAsync(database, new InvariantScope { Artifacts = rows.OpenAsync }, TestContext.Current.CancellationToken);

        Assert.Contains(violations, v => v.Rule == "I6" && v.Run == rows.Runs["plain"] && v.Step == 1 && v.Message.Contains(" bytes, not 1", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Finds_what_a_subscriber_missed_or_should_not_have_got()
    {
        await using var database = rows.Copy();
        var (mine, foreign) = (rows.Runs["plain"], rows.Runs["foreign"]);
        var all = rows.Subscriber(Tenants.Default).Received.ToList();
        var from = all.FindIndex(e => e.Run == mine);
        async Task<IEnumerable<InvariantViolation>> CheckAsync(IEnumerable<ReceivedEvent> received) => await Invariants.CheckAsync(
            database, new InvariantScope { Subscribers = [new SubscriberRecord("sse", Tenants.Default, [.. received])] }, TestContext.Current.CancellationToken);

        Assert.Empty(await CheckAsync([.. all, .. all]));
        Assert.Equal($"I8 run {mine}: sse never got event 5 (io.tinymlaas.step.failed.v1)", Assert.Single(await CheckAsync(all.Where((_, i) => i != from + 4))).ToString());
        Assert.Equal(
            $"I8 run {mine}: sse got event 1 for the first time after event 2",
            Assert.Single(await CheckAsync([.. all.Take(from), all[from + 1], all[from], .. all.Skip(from + 2)])).ToString());
        Assert.Equal($"I8 run {mine}: sse got event 99 (io.tinymlaas.run.failed.v1), which is not in the log", Assert.Single(await CheckAsync(all.Append(new ReceivedEvent(mine, 99, "io.tinymlaas.run.failed.v1")))).ToString());
        Assert.Equal($"I8 run {mine}: sse got event 1 as x; the log has io.tinymlaas.run.accepted.v1", Assert.Single(await CheckAsync(all.Append(new ReceivedEvent(mine, 1, "x")))).ToString());
        Assert.Equal(("I8", Guid.Empty), Assert.Single(await CheckAsync(all.Append(new ReceivedEvent(Guid.Empty, 1, "x")))) is var unknown ? (unknown.Rule, unknown.Run!.Value) : default);
        Assert.Equal(("I10", foreign), Assert.Single(await CheckAsync(all.Append(new ReceivedEvent(foreign, 1, "x")))) is var leaked ? (leaked.Rule, leaked.Run!.Value) : default);
    }

    /// <summary>A database that the orchestrator wrote.</summary>
    public sealed class Rows : IAsyncLifetime
    {
        private readonly TemporaryFolder _folder = new();
        private readonly Dictionary<string, byte[]> _artifacts = [];
        private readonly List<(string Tenant, ReceivedEvent Event)> _events = [];
        private int _copies;

        public Dictionary<string, Guid> Runs { get; } = [];

        public async ValueTask InitializeAsync()
        {
            foreach (var content in new[] { "the model", "test set" })
                Keep(content);
            await using (var host = await OrchestratorHost.StartAsync(_folder.Path, s => s["Orchestrator:SilenceSeconds"] = "600"))
            {
                await host.AnnounceAsync("compiler", 1, "compiler/fuse", "compiler/quantize", "compiler/evaluate");
                await WriteAsync(host);
            }
            await using var database = Copy();
            foreach (var run in await database.Runs.Include(r => r.Events).AsNoTracking().ToListAsync())
                _events.AddRange(run.Events.OrderBy(e => e.Sequence).Select(e => (run.Tenant, new ReceivedEvent(e.RunId, e.Sequence, e.Type))));
            foreach (var step in await database.Steps.AsNoTracking().ToListAsync())
            {
                Keep($"output of {step.Uses} at {step.Position}");
                Keep($"report of {step.Uses} at {step.Position}");
            }
        }

        public ValueTask DisposeAsync()
        {
            SqliteConnection.ClearAllPools();
            _folder.Dispose();
            return ValueTask.CompletedTask;
        }

        internal OrchestratorDbContext Copy()
        {
            var file = _folder[$"copy-{Interlocked.Increment(ref _copies)}.db"];
            SqliteConnection.ClearAllPools();
            File.Copy(_folder["orchestrator.db"], file);
            return new OrchestratorDbContext(new DbContextOptionsBuilder<OrchestratorDbContext>().UseSqlite($"Data Source={file}").Options);
        }

        internal async Task<int> PlantAsync(OrchestratorDbContext database, string sql)
        {
            await database.Database.OpenConnectionAsync();
            using var command = (SqliteCommand)database.Database.GetDbConnection().CreateCommand();
            command.CommandText = sql;
            foreach (var (name, id) in Runs.Where(r => sql.Contains('$' + r.Key, StringComparison.Ordinal)))
                command.Parameters.AddWithValue('$' + name, id.ToString().ToUpperInvariant());
            return await command.ExecuteNonQueryAsync();
        }

        internal Task<Stream?> OpenAsync(string tenant, string digest, CancellationToken cancellation) =>
            Task.FromResult<Stream?>(_artifacts.TryGetValue(digest, out var bytes) ? new MemoryStream(bytes) : null);

        internal SubscriberRecord Subscriber(string tenant) => new("everything", tenant, [.. _events.Where(e => e.Tenant == tenant).Select(e => e.Event)]);

        private void Keep(string content) => _artifacts[Orchestrator.Runs.Artifact(content, ArtifactKinds.Onnx).Digest] = Encoding.UTF8.GetBytes(content);

        private async Task<SubmitRun> SubmitAsync(OrchestratorHost host, string name, SubmitRun run)
        {
            Runs.Add(name, run.RunId);
            await host.SubmitAsync(run);
            return run;
        }

        private async Task WriteAsync(OrchestratorHost host)
        {
            var plain = await SubmitAsync(host, "plain", Orchestrator.Runs.Of("compiler/fuse", "compiler/quantize"));
            await ClaimAsync(host, o => host.FailAsync(o, retryable: true));
            await ClaimAsync(host, async o =>
            {
                await host.BeatAsync(o, log: ["a line"]);
                await host.CompleteAsync(o);
            });
            await ClaimAsync(host, _ => LoseLeaseAsync(host, plain.RunId, 1));
            await ClaimAsync(host, o => host.CompleteAsync(o));

            await SubmitAsync(host, "foreign", Orchestrator.Runs.Of("compiler/fuse", "compiler/quantize") with { Tenant = Other });
            await host.ToEndAsync();
            await host.ToEndAsync();

            await SubmitAsync(host, "cacheable", Orchestrator.Runs.Of("compiler/fuse").Evaluated() with { Cache = true, Seed = 7 });
            for (var i = 0; i < 3; i++)
                await ClaimAsync(host, o => host.CompleteAsync(o, metrics: new Dictionary<string, double> { ["top1"] = 0.75 }));
            await SubmitAsync(host, "cached", Orchestrator.Runs.Of("compiler/fuse").Evaluated() with { Cache = true, Seed = 7 });
            await host.UntilAsync(Runs["cached"], r => r.PublicState == RunStates.Succeeded);

            await SubmitAsync(host, "refused", Orchestrator.Runs.Of("compiler/fuse", "compiler/quantize").Evaluated());
            await ClaimAsync(host, o => host.FailAsync(o, retryable: false));

            var lost = await SubmitAsync(host, "lost", Orchestrator.Runs.Of("compiler/fuse"));
            for (var i = 1; i <= 3; i++)
                await ClaimAsync(host, _ => LoseLeaseAsync(host, lost.RunId, i));

            await SubmitAsync(host, "stopped", Orchestrator.Runs.Of("compiler/fuse"));
            await host.OfferAsync();
            await host.CancelAsync(Runs["stopped"]);

            var resumed = await SubmitAsync(host, "resumed", Orchestrator.Runs.Of("compiler/fuse", "compiler/quantize"));
            await host.ToEndAsync();
            await ClaimAsync(host, o => host.FailAsync(o, retryable: false));
            await host.ResumeAsync(resumed.RunId);
            await ClaimAsync(host, async o =>
            {
                await host.CancelAsync(o.RunId);
                await host.FailAsync(o, retryable: false, code: "cancelled");
            });
            await host.ResumeAsync(resumed.RunId);
            await host.ToEndAsync();

            await SubmitAsync(host, "stopping", Orchestrator.Runs.Of("compiler/fuse").Evaluated());
            await ClaimAsync(host, o => host.CancelAsync(o.RunId));
            await host.AnnounceAsync("compiler", 3, "compiler/fuse", "compiler/quantize", "compiler/evaluate");
            await SubmitAsync(host, "held", Orchestrator.Runs.Of("compiler/fuse"));
            await ClaimAsync(host, o => host.BeatAsync(o));
            await SubmitAsync(host, "open", Orchestrator.Runs.Of("compiler/nothing-that-is-here"));
        }

        private static async Task ClaimAsync(OrchestratorHost host, Func<StepOffer, Task> then)
        {
            var offer = await host.OfferAsync();
            Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer));
            await then(offer);
        }

        private static async Task LoseLeaseAsync(OrchestratorHost host, Guid run, int lost)
        {
            host.Time.Advance(TimeSpan.FromSeconds(60));
            await host.SweepAsync();
            await host.UntilAsync(run, r => r.Steps.SelectMany(s => s.Attempts).Count(a => a.State == AttemptStates.Lost) == lost);
        }
    }
}
