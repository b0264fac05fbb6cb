using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>
/// A worker that keeps to the protocol of the worker-host, on a machine that does not: it dies, stands still, leaves, is slow, and tells ends that
/// it should have given up. What it makes is remembered by attempt, so that nobody can pass one result for another's.
/// </summary>
internal sealed class ModelWorker(Simulation simulation, string kind, int number, int slots)
{
    private static readonly TimeSpan AnnounceEvery = TimeSpan.FromSeconds(12);
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(10);
    private const int ClaimTries = 3;

    private readonly Dictionary<(Guid Run, long Fence), Work> _works = [];
    private int _life = 1;
    private int _claiming;
    private bool _up;
    private DateTimeOffset _stalledUntil;

    public string Kind => kind;

    public Uri Queue => new($"exchange:v1.offer.any.{kind}");

    public bool IsUp => _up;

    private string Instance => $"{kind}-{number}.{_life}";

    private Schedule Schedule => simulation.Schedule;

    public void Start()
    {
        _up = true;
        Announce();
    }

    /// <summary>The process is gone, and with it all that it knew.</summary>
    public void Kill(TimeSpan downFor)
    {
        End();
        Schedule.After(downFor, () =>
        {
            if (!_up)
                Start();
        });
    }

    /// <summary>Says goodbye, ends what it runs without a word about it, and comes back as another instance.</summary>
    public void Leave(TimeSpan downFor)
    {
        simulation.Network.Publish(Announcement(leaving: true));
        Kill(downFor);
    }

    public void Stall(TimeSpan time) => _stalledUntil = Schedule.Now + time;

    /// <summary>An offer arrives.</summary>
    public void Take(StepOffer offer) => Later(TimeSpan.Zero, () =>
    {
        if (_works.Count + _claiming >= slots)
            return;
        _claiming++;
        Claim(offer, ClaimTries);
    });

    /// <summary>An order to stop arrives.</summary>
    public void Stop(CancelAttempt order) => Later(TimeSpan.Zero, () =>
    {
        if (!_works.TryGetValue((order.RunId, order.Fence), out var work))
            return;
        if (order.Reason == StopReasons.Timeout)
            Drop(work);
        else
            Stop(work);
    });

    private void End()
    {
        _up = false;
        _life++;
        _claiming = 0;
        _works.Clear();
        _stalledUntil = default;
    }

    /// <summary>Acts after a time, once the worker does not stand still; not at all when it has died meanwhile.</summary>
    private void Later(TimeSpan delay, Action act)
    {
        var life = _life;
        void Run()
        {
            if (!_up || _life != life)
                return;
            if (_stalledUntil > Schedule.Now)
                Schedule.After(_stalledUntil - Schedule.Now, Run);
            else
                act();
        }
        Schedule.After(delay, Run);
    }

    private void Ask(object request, TimeSpan within, Action<object?> then) => simulation.Network.Ask(request, within, answer => Later(TimeSpan.Zero, () => then(answer)));

    private void Announce()
    {
        simulation.Network.Publish(Announcement(leaving: false));
        Later(AnnounceEvery, Announce);
    }

    private WorkerAnnounced Announcement(bool leaving) => new()
    {
        Worker = kind,
        Instance = Instance,
        Queue = Queue.AbsolutePath,
        Slots = slots,
        Transformers = Simulation.Transformers(kind),
        At = Schedule.Now,
        Leaving = leaving,
    };

    private void Claim(StepOffer offer, int tries) => Ask(
        new ClaimAttempt { Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = Instance },
        AnswerWithin,
        answer =>
        {
            if (answer is null && tries > 1)
            {
                Claim(offer, tries - 1);
                return;
            }
            _claiming--;
            if (answer is not AttemptGranted granted)
                return;
            simulation.Witness.Granted(offer.RunId, offer.Step, offer.Fence, Instance);
            // Delivered twice and claimed twice: the first one works on it.
            var work = new Work(offer, granted, Schedule.Now);
            if (_works.TryAdd((offer.RunId, offer.Fence), work))
                Begin(work);
        });

    private void Begin(Work work)
    {
        var time = Schedule.Between(0.5, 12);
        if (simulation.Injects(Fault.AttemptSlow, 0.05))
            time = work.Granted.Lease * (1 + 2 * Schedule.Random.NextDouble());
        work.HeartStopped = simulation.Injects(Fault.HeartStopped, 0.04);
        work.Zombie = simulation.Injects(null, 0.3);
        Beat(work);
        Later(time, () => Finish(work, FailureOf()));
    }

    private Failure? FailureOf() =>
        simulation.Injects(Fault.AttemptFailed, 0.08) ? new Failure { Code = "worker-error", Message = "as the seed wants it", Retryable = true }
        : simulation.Injects(Fault.AttemptRejected, 0.02) ? new Failure { Code = "unsupported-operator", Message = "as the seed wants it", Retryable = false }
        : null;

    private void Beat(Work work) => Later(work.Granted.HeartbeatEvery * (0.5 + 0.5 * Schedule.Random.NextDouble()), () =>
    {
        if (work.Told || work.HeartStopped || !_works.ContainsValue(work))
            return;
        var sent = Schedule.Now;
        work.Progress = Math.Min(1, work.Progress + 0.1);
        var offer = work.Offer;
        Ask(
            new Heartbeat
            {
                Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = Instance,
                Progress = work.Progress, Activity = "working", Log = [$"{work.Progress:F1}"],
            },
            work.Granted.HeartbeatEvery,
            answer =>
            {
                if (work.Told)
                    return;
                switch (answer)
                {
                    case HeartbeatReply { Verdict: HeartbeatVerdicts.Cancel }:
                        Stop(work);
                        return;
                    case HeartbeatReply { Verdict: HeartbeatVerdicts.Lost }:
                        Drop(work);
                        return;
                    case HeartbeatReply:
                        work.LeasedSince = sent;
                        break;
                    default:
                        if (LeaseIsOver(work) && !work.Zombie)
                        {
                            Drop(work);
                            return;
                        }
                        break;
                }
                Beat(work);
            });
    });

    private void Finish(Work work, Failure? failure)
    {
        if (work.Told || !_works.ContainsValue(work))
            return;
        if (failure is not null)
        {
            Tell(work, Failed(work, failure));
            return;
        }
        var offer = work.Offer;
        var made = $"{offer.Uses} of {offer.Input.Digest}";
        var report = simulation.Store.Put(offer.Tenant, ArtifactKinds.Report, $"report of {made}, fence {offer.Fence} of run {offer.RunId}");
        simulation.Witness.Made(offer.RunId, offer.Fence, report);
        Tell(work, new CompleteAttempt
        {
            Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = Instance,
            Outputs = offer.Uses == PipelineRun.Evaluator ? [] : [simulation.Store.Put(offer.Tenant, Simulation.Produces(offer.Uses), made)],
            Report = report,
            Metrics = new Dictionary<string, double> { ["top1"] = 0.5 },
        });
    }

    private void Stop(Work work)
    {
        if (!work.Told)
            Tell(work, Failed(work, new Failure { Code = "cancelled", Message = "Stopped on request.", Retryable = false }));
    }

    /// <summary>Tells the end until it is heard, or until the lease is over and nobody waits for it.</summary>
    private void Tell(Work work, object end)
    {
        work.Told = true;
        if (LeaseIsOver(work))
            simulation.Count(Fault.EndToldTooLate);
        Ask(end, AnswerWithin, answer =>
        {
            if (answer is null && (!LeaseIsOver(work) || (work.Zombie && !simulation.IsCalm)))
            {
                Later(TimeSpan.FromSeconds(1), () => Tell(work, end));
                return;
            }
            if (answer is AttemptCommitted && end is CompleteAttempt complete)
                simulation.Witness.Committed(complete.RunId, complete.Step, complete.Fence, complete.Report);
            Drop(work);
        });
    }

    private void Drop(Work work)
    {
        work.Told = true;
        _works.Remove((work.Offer.RunId, work.Offer.Fence));
    }

    private bool LeaseIsOver(Work work) => work.Granted.Waits ? Schedule.Now - work.Began > work.Granted.Limit : Schedule.Now - work.LeasedSince > work.Granted.Lease;

    private FailAttempt Failed(Work work, Failure failure) => new()
    {
        Tenant = work.Offer.Tenant, RunId = work.Offer.RunId, Step = work.Offer.Step, Attempt = work.Offer.Attempt, Fence = work.Offer.Fence, Worker = Instance,
        Failure = failure,
    };

    private sealed class Work(StepOffer offer, AttemptGranted granted, DateTimeOffset leasedSince)
    {
        public StepOffer Offer { get; } = offer;

        public AttemptGranted Granted { get; } = granted;

        public DateTimeOffset Began { get; } = leasedSince;

        public DateTimeOffset LeasedSince { get; set; } = leasedSince;

        public double Progress { get; set; }

        /// <summary>Its end is being told, or it was given up.</summary>
        public bool Told { get; set; }

        public bool HeartStopped { get; set; }

        /// <summary>It does not notice that its lease is over.</summary>
        public bool Zombie { get; set; }
    }
}
