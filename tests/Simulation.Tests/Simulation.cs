using System.Globalization;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Orchestration.Testing;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Services.Tests.Orchestrator;
using TinyMLaaS.Simulation.Tests.Bus;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>
/// The control plane in virtual time: the product's state machine, dispatcher, sweeper and leases on a model of everything around them. For a while
/// everything that can go wrong does, as the seed chooses; then it stops, and every run must come to its one end.
/// </summary>
internal sealed class Simulation : IDisposable
{
    private static readonly TimeSpan EndsWithin = TimeSpan.FromMinutes(15);
    private static readonly string[] Owners = ["default", "somebody-else"];
    private static readonly string[] Uses = ["compiler/fuse", "compiler/quantize", "compiler/fuse", "installer/bundle"];

    private readonly int _seed;
    private readonly PlantedBug? _bug;
    private readonly ModelDatabase _database = new();
    private readonly Trace _trace = new();
    private readonly Dictionary<Fault, int> _faults = [];
    private readonly List<ModelClient> _clients = [];
    private readonly List<ModelMessage> _queued = [];
    private readonly bool _workersShareProcess;
    private readonly IReadOnlyDictionary<string, string?> _settings;
    private OrchestratorProcess? _orchestrator;
    private bool _dispatchIsDue;

    private Simulation(int seed, PlantedBug? bug)
    {
        _seed = seed;
        _bug = bug;
        Schedule = new Schedule(seed);
        Network = new Network(this);
        // Half of them as standalone, where all of it lives and dies together; half with a broker and workers of their own.
        _workersShareProcess = Schedule.Chance(0.5);
        Lease = TimeSpan.FromSeconds(Schedule.Random.Next(6, 15));
        _settings = new Dictionary<string, string?>
        {
            ["Orchestrator:Database"] = _database.Source,
            ["Orchestrator:WorkersShareProcess"] = _workersShareProcess.ToString(),
            ["Orchestrator:LeaseSeconds"] = Lease.TotalSeconds.ToString(CultureInfo.InvariantCulture),
            ["Orchestrator:SilenceSeconds"] = "30",
            ["Orchestrator:OfferSeconds"] = Schedule.Random.Next(2, 8).ToString(CultureInfo.InvariantCulture),
            ["Orchestrator:MaxAttempts"] = Schedule.Random.Next(2, 6).ToString(CultureInfo.InvariantCulture),
            ["Orchestrator:QueueTimeoutSeconds"] = Schedule.Random.Next(10, 300).ToString(CultureInfo.InvariantCulture),
            ["Orchestrator:AttemptTimeoutSeconds"] = Schedule.Random.Next(8, 60).ToString(CultureInfo.InvariantCulture),
            ["Orchestrator:TotalTimeoutSeconds"] = Schedule.Random.Next(40, 600).ToString(CultureInfo.InvariantCulture),
            ["Orchestrator:MaxDeaths"] = Schedule.Random.Next(2, 6).ToString(CultureInfo.InvariantCulture),
        };
        Workers = [.. Enumerable.Range(1, Schedule.Random.Next(1, 4)).Select(i => new ModelWorker(this, "compiler", i, Schedule.Random.Next(1, 3))), new ModelWorker(this, "installer", 1, 1)];
    }

    public Schedule Schedule { get; }

    public Network Network { get; }

    public Witness Witness { get; } = new();

    public ModelStore Store { get; } = new();

    public IReadOnlyList<ModelWorker> Workers { get; }

    public TimeSpan Lease { get; }

    /// <summary>True once nothing goes wrong any more.</summary>
    public bool IsCalm { get; private set; }

    public static async Task<SimulationResult> RunAsync(int seed, PlantedBug? bug = null)
    {
        using var simulation = new Simulation(seed, bug);
        return await simulation.RunAsync();
    }

    public static string Produces(string uses) => uses.StartsWith("installer/", StringComparison.Ordinal) ? ArtifactKinds.Bundle : ArtifactKinds.Onnx;

    public void Dispose()
    {
        _trace.Dispose();
        _database.Dispose();
    }

    /// <summary>Decides whether something goes wrong, and counts it when it is a fault with a name.</summary>
    public bool Injects(Fault? fault, double probability)
    {
        if (IsCalm || !Schedule.Chance(probability))
            return false;
        if (fault is { } kind)
            Count(kind);
        return true;
    }

    public void Count(Fault fault) => _faults[fault] = _faults.GetValueOrDefault(fault) + 1;

    public void Note(string line) => _trace.Add(Schedule.Elapsed, line);

    public string NameOf(Guid run) => _clients.FindIndex(c => c.Run.RunId == run) is var index and >= 0 ? $"run-{index + 1}" : "run-?";

    public bool Knows(Guid run) => _database.StateOf(run) is not null;

    public static IReadOnlyList<TransformerDescriptor> Transformers(string kind) =>
    [
        .. Uses.Append(PipelineRun.Evaluator).Distinct().Where(u => u.StartsWith($"{kind}/", StringComparison.Ordinal)).Select(u => new TransformerDescriptor
        {
            Name = u, Version = "1", Summary = u, Accepts = [ArtifactKinds.Onnx], Produces = Produces(u), Options = JsonElement.Parse("{}"),
        }),
    ];

    /// <summary>An offer arrives at a pool's queue: one of its workers gets it.</summary>
    public void Offer(Uri queue, StepOffer offer)
    {
        var pool = Workers.Where(w => w.IsUp && w.Queue == queue).ToArray();
        if (pool.Length > 0)
            Schedule.Pick(pool).Take(offer);
    }

    /// <summary>A message arrives at the orchestrator: it is handled, or waits in its queue where there is one, or is lost.</summary>
    public async Task DeliverAsync(ModelMessage message)
    {
        if (_orchestrator is null)
        {
            if (!_workersShareProcess)
                _queued.Add(message);
            return;
        }
        if (_bug is not null)
        {
            if (_bug.Before(message, _database) is not { } passed)
                return;
            message = passed;
        }
        var death = DeathAtThis();
        // Not acknowledged: a broker delivers it again.
        if (!await _orchestrator.DeliverAsync(message, death))
            await DieAsync(death, message);
        if (Network.RunOf(message.Content) is { } run && _database.StateOf(run) is var (state, sequence))
        {
            Witness.Saw(run, state, sequence, message.Content is ResumeRun);
            Note($"{Network.Describe(message.Content)} > {state} {sequence}");
        }
        else
        {
            Note(Network.Describe(message.Content));
        }
        // What changes nothing that the dispatcher looks at wakes it only now and then.
        if (message.Content is not (Heartbeat or WorkerAnnounced) || Schedule.Chance(0.1))
            DispatchSoon();
    }

    private async Task<SimulationResult> RunAsync()
    {
        foreach (var _ in Enumerable.Range(0, Schedule.Random.Next(1, 5)))
            _clients.Add(new ModelClient(this, NewRun()));
        await StartAsync();
        foreach (var worker in Workers)
            Schedule.After(Schedule.Between(0, 3), worker.Start);
        foreach (var client in _clients)
        {
            var at = Schedule.Between(0, 20);
            Schedule.After(at, client.SubmitUntilKnown);
            if (Injects(Fault.RunCancelled, 0.3))
                Schedule.After(at + Schedule.Between(0, 40), client.Cancel);
        }
        var quietAt = TimeSpan.MaxValue;
        TimeSpan Pause(double from, double to) => (quietAt == TimeSpan.MaxValue ? 1 : 4) * Schedule.Between(from, to);
        Repeat(() => Pause(1, 8), async () =>
        {
            if (_orchestrator is not null)
                await _orchestrator.SweepAsync();
        });
        Repeat(() => Pause(2, 8), DispatchAsync);
        Repeat(() => Schedule.Between(2, 12), BreakAsync);
        Repeat(() => Schedule.Between(10, 30), CheckOneAsync);
        Repeat(() => Schedule.Between(2, 10), () =>
        {
            var client = Schedule.Pick(_clients);
            if (_database.StateOf(client.Run.RunId) is var (state, _) && RunStates.IsTerminal(state) && Injects(Fault.RunResumed, state == RunStates.Succeeded ? 0.1 : 0.4))
                client.Resume();
            return Task.CompletedTask;
        });
        var calmAt = Schedule.Between(25, 65);
        Schedule.After(calmAt, () => IsCalm = true);
        var limit = calmAt + EndsWithin;
        Repeat(() => TimeSpan.FromSeconds(3), () =>
        {
            // What was on its way for long may still arrive.
            if (IsCalm && quietAt == TimeSpan.MaxValue && HaveEnded())
                quietAt = Schedule.Elapsed + 2 * Lease;
            return Task.CompletedTask;
        });
        while (Schedule.Elapsed < quietAt && Schedule.Elapsed < limit)
            await Schedule.StepAsync();
        if (_orchestrator is not null)
            await _orchestrator.DisposeAsync();
        return await JudgeAsync();
    }

    private async Task<SimulationResult> JudgeAsync()
    {
        await using var database = _database.Context();
        var runs = await database.WholeRuns.Include(r => r.Events).AsNoTracking().OrderBy(r => r.CorrelationId).ToListAsync();
        var violations = new List<InvariantViolation>(Witness.Violations);
        violations.AddRange(await Invariants.CheckAsync(database, new InvariantScope { Quiet = true, Artifacts = Store.OpenAsync }, CancellationToken.None));
        violations.AddRange(Witness.Check(runs));
        violations.AddRange(_clients.Where(c => runs.All(r => r.CorrelationId != c.Run.RunId)).Select(c => new InvariantViolation(Invariants.EndsOnce, "the run was accepted and never taken on") { Run = c.Run.RunId }));
        return new SimulationResult
        {
            Seed = _seed,
            Hash = _trace.Hash(),
            Steps = _trace.Lines,
            Took = Schedule.Elapsed,
            Ends = runs.CountBy(r => r.PublicState).ToDictionary(),
            Faults = _faults,
            Violations = violations,
            Last = [.. _trace.Last],
        };
    }

    private SubmitRun NewRun()
    {
        var uses = Enumerable.Range(0, Schedule.Random.Next(1, 4)).Select(_ => Schedule.Pick(Uses)).ToList();
        // Nothing accepts a bundle, so it comes last.
        uses = [.. uses.Where(u => Produces(u) == ArtifactKinds.Onnx), .. uses.Where(u => Produces(u) != ArtifactKinds.Onnx).Take(1)];
        var id = new byte[16];
        Schedule.Random.NextBytes(id);
        var run = Runs.Of([.. uses]) with
        {
            RunId = new Guid(id),
            Tenant = Schedule.Pick(Owners),
            Cache = Schedule.Chance(0.3),
            Priority = Schedule.Random.Next(3),
            Seed = Schedule.Random.Next(3),
        };
        run = run with
        {
            Pipeline = run.Pipeline with
            {
                Timeouts = Schedule.Chance(0.3) ? new RunTimeouts { Queue = $"{Schedule.Random.Next(5, 60)}s", Total = $"{Schedule.Random.Next(30, 200)}s" } : null,
                Steps = [.. run.Pipeline.Steps.Select(s => s with
                {
                    OnLeaseLost = Schedule.Pick(new[] { null, LeaseLossPolicies.Retry, LeaseLossPolicies.Wait, LeaseLossPolicies.Fail }),
                    Timeouts = Schedule.Chance(0.3) ? new StepTimeouts { Attempt = $"{Schedule.Random.Next(5, 40)}s", Heartbeat = $"{Schedule.Random.Next(5, 20)}s" } : null,
                    Retry = Schedule.Chance(0.3) ? new StepRetry { Attempts = Schedule.Random.Next(1, 5), Backoff = "2s", NotOn = Schedule.Chance(0.3) ? ["worker-error"] : [] } : null,
                })],
            },
        };
        run = Schedule.Chance(0.35) ? run.Evaluated() : run;
        Store.Put(run.Tenant, ArtifactKinds.Onnx, "the model");
        Store.Put(run.Tenant, ArtifactKinds.Dataset, "test set");
        return run;
    }

    private void Repeat(Func<TimeSpan> pause, Func<Task> act) => Schedule.After(pause(), async () =>
    {
        await act();
        Repeat(pause, act);
    });

    private bool HaveEnded() => _clients.All(c => !c.IsResuming && _database.StateOf(c.Run.RunId) is var (state, _) && RunStates.IsTerminal(state));

    private async Task StartAsync()
    {
        _orchestrator = new OrchestratorProcess(_settings, Schedule.Clock, Network.Send, _bug?.Interceptors ?? []);
        await _orchestrator.StartAsync();
        foreach (var message in _queued)
            Schedule.After(Schedule.Between(0.001, 0.2), () => DeliverAsync(message));
        _queued.Clear();
    }

    private OrchestratorProcess.Death DeathAtThis() => Injects(null, 0.03) ? (OrchestratorProcess.Death)Schedule.Random.Next(1, 5) : OrchestratorProcess.Death.None;

    private Task DieAsync(OrchestratorProcess.Death death, ModelMessage? unacknowledged)
    {
        Count(death switch
        {
            OrchestratorProcess.Death.BeforeCommit => Fault.OrchestratorKilledBeforeCommit,
            OrchestratorProcess.Death.BeforeTelling => Fault.OrchestratorKilledBeforeTelling,
            OrchestratorProcess.Death.WhileTelling => Fault.OrchestratorKilledWhileTelling,
            _ => Fault.OrchestratorKilledBeforeAcknowledging,
        });
        return KillAsync(death.ToString(), unacknowledged);
    }

    private async Task KillAsync(string how, ModelMessage? unacknowledged)
    {
        Note($"the orchestrator dies: {how}");
        var dead = _orchestrator!;
        _orchestrator = null;
        await dead.DisposeAsync();
        var pause = Schedule.Between(0.2, 15);
        if (_workersShareProcess)
        {
            Network.Wipe();
            foreach (var worker in Workers.Where(w => w.IsUp))
                worker.Kill(pause + Schedule.Between(0.1, 1));
        }
        else if (unacknowledged is not null)
        {
            _queued.Add(unacknowledged);
        }
        Schedule.After(pause, StartAsync);
    }

    private void DispatchSoon()
    {
        if (_dispatchIsDue)
            return;
        _dispatchIsDue = true;
        Schedule.After(Schedule.Between(0.001, 0.05), DispatchAsync);
    }

    private async Task DispatchAsync()
    {
        _dispatchIsDue = false;
        var death = DeathAtThis();
        if (_orchestrator is not null && !await _orchestrator.DispatchAsync(death))
            await DieAsync(death, null);
    }

    /// <summary>Something breaks that is not a message.</summary>
    private async Task BreakAsync()
    {
        if (IsCalm)
            return;
        var up = Workers.Where(w => w.IsUp).ToArray();
        switch (Schedule.Random.Next(6))
        {
            case 0 when _orchestrator is not null:
                Count(Fault.OrchestratorKilled);
                await KillAsync("at rest", null);
                break;
            case 1 when !_workersShareProcess:
                Count(Fault.BrokerWiped);
                Note("the broker is wiped");
                Network.Wipe();
                _queued.Clear();
                break;
            case 2 when up.Length > 0 && !_workersShareProcess:
                Count(Fault.WorkerKilled);
                Schedule.Pick(up).Kill(Schedule.Between(1, 20));
                break;
            case 3 when up.Length > 0:
                Count(Fault.WorkerStalled);
                Schedule.Pick(up).Stall(Lease * (0.5 + 2 * Schedule.Random.NextDouble()));
                break;
            case 4 when up.Length > 0:
                Count(Fault.WorkerLeft);
                Schedule.Pick(up).Leave(Schedule.Between(1, 10));
                break;
            case 5:
                Count(Fault.RunResubmitted);
                Schedule.Pick(_clients).Submit();
                break;
        }
    }

    private async Task CheckOneAsync()
    {
        await using var database = _database.Context();
        var id = Schedule.Pick(_clients).Run.RunId;
        if (await database.WholeRuns.Include(r => r.Events).AsNoTracking().SingleOrDefaultAsync(r => r.CorrelationId == id) is { } run)
        {
            foreach (var violation in Invariants.Check(run))
                Witness.Broken(violation);
        }
    }
}

/// <summary>What a seed came to.</summary>
internal sealed record SimulationResult
{
    public required int Seed { get; init; }

    /// <summary>Of everything that happened, in its order and with its time.</summary>
    public required string Hash { get; init; }

    public required int Steps { get; init; }

    public required TimeSpan Took { get; init; }

    /// <summary>Runs by the state they ended in.</summary>
    public required IReadOnlyDictionary<string, int> Ends { get; init; }

    public required IReadOnlyDictionary<Fault, int> Faults { get; init; }

    public required IReadOnlyList<InvariantViolation> Violations { get; init; }

    /// <summary>The last that happened.</summary>
    public required IReadOnlyList<string> Last { get; init; }
}
