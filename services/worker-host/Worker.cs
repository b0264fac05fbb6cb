using System.Collections.Concurrent;
using MassTransit;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.WorkerHost.Attempts;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.WorkerHost;

/// <summary>One worker of this process: its transformers, its slots and the attempts that run in them.</summary>
internal sealed class Worker : IDisposable
{
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(10);
    private const int ClaimTries = 3;

    private readonly string _name;
    private readonly IReadOnlyDictionary<string, ITransformer> _transformers;
    private readonly IReadOnlyList<TransformerDescriptor> _descriptors;
    private readonly ITransformPlace _place;
    private readonly IBus _bus;
    private readonly ArtifactStoreClient _store;
    private readonly Loops _loops;
    private readonly TimeSpan _storePatience;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly SemaphoreSlim _slots;
    private readonly WorkFolder _folder;
    private readonly CancellationTokenSource _stopping = new();
    private readonly ConcurrentDictionary<(Guid Run, long Fence), Running> _running = new();

    public Worker(
        string name,
        IReadOnlyList<ITransformer> transformers,
        ITransformPlace place,
        WorkerOptions options,
        IBus bus,
        ArtifactStoreClient store,
        Loops loops,
        TimeProvider time,
        ILogger log)
    {
        _name = name;
        _transformers = transformers.ToDictionary(t => t.Info.Name, StringComparer.Ordinal);
        _descriptors = [.. transformers.Select(t => Describe(t.Info))];
        _place = place;
        _bus = bus;
        _store = store;
        _loops = loops;
        _storePatience = TimeSpan.FromSeconds(options.StorePatienceSeconds);
        _time = time;
        _log = log;
        Slots = options.SlotCount;
        _slots = new SemaphoreSlim(Slots, Slots);
        Instance = $"{name}-{Guid.NewGuid():N}";
        _folder = new WorkFolder(options.WorkFolder, name, Instance);
    }

    public string Name => _name;

    public string Instance { get; }

    public int Slots { get; }

    private string Queue => QueueOf(_name);

    public bool IsStopping => _stopping.IsCancellationRequested;

    public static string QueueOf(string worker) => $"v1.offer.any.{worker}";

    /// <summary>Makes ready what the first attempt needs.</summary>
    public void Prepare()
    {
        _folder.Prepare();
        _place.Prepare();
    }

    public WorkerAnnounced Announcement(bool leaving) => new()
    {
        Worker = _name,
        Instance = Instance,
        Queue = Queue,
        Slots = Slots,
        Transformers = _descriptors,
        At = _time.GetUtcNow(),
        Leaving = leaving,
    };

    /// <summary>Claims an offer and starts the work. Returns once the attempt is leased or not ours, so that the message never waits for the work.</summary>
    public async Task TakeAsync(StepOffer offer, CancellationToken cancellation)
    {
        if (!_transformers.TryGetValue(offer.Uses, out var transformer) || transformer.Info.Version != offer.Version)
        {
            _log.LogWarning("{Uses} {Version} is offered here, and this worker does not have it; another may.", offer.Uses, offer.Version);
            return;
        }
        // By a length and not by a moment: this clock may not be that of the orchestrator.
        using var words = StepScope.Begin(_log, offer.RunId, offer.Step, offer.Attempt);
        var patience = offer.ClaimWithin ?? offer.ExpiresAt - _time.GetUtcNow();
        if (patience <= TimeSpan.Zero || IsStopping || !await _slots.WaitAsync(patience, cancellation))
            return;
        var handedOver = false;
        try
        {
            if (await ClaimAsync(offer, cancellation) is not { } granted)
                return;
            handedOver = Start(offer, granted, transformer);
        }
        finally
        {
            if (!handedOver)
                _slots.Release();
        }
    }

    /// <summary>Stops an attempt if it runs here.</summary>
    public void Cancel(CancelAttempt order)
    {
        if (_running.TryGetValue((order.RunId, order.Fence), out var running))
            running.Attempt.Stop(order.Reason == StopReasons.Timeout ? StopReason.TimedOut : StopReason.Cancelled);
    }

    /// <summary>Takes nothing more and ends what runs; the orchestrator gives it to others.</summary>
    public async Task StopAsync(CancellationToken cancellation)
    {
        await _stopping.CancelAsync();
        foreach (var running in _running.Values)
            running.Attempt.Stop(StopReason.Leaving);
        try
        {
            await Task.WhenAll(_running.Values.Select(r => r.Work)).WaitAsync(cancellation);
        }
        catch (OperationCanceledException)
        {
            _log.LogWarning("{Count} attempts did not stop in time.", _running.Count);
        }
        _place.Dispose();
        _folder.Remove();
    }

    public void Dispose()
    {
        _stopping.Dispose();
        _slots.Dispose();
        _place.Dispose();
        _folder.Dispose();
    }

    private async Task<AttemptGranted?> ClaimAsync(StepOffer offer, CancellationToken cancellation)
    {
        var claim = new ClaimAttempt { Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = Instance };
        for (var tries = 1; ; tries++)
        {
            try
            {
                var answer = await _bus.CreateRequestClient<ClaimAttempt>(AnswerWithin).GetResponse<AttemptGranted, AttemptRefused>(claim, cancellation);
                if (answer.Is(out Response<AttemptGranted>? granted))
                    return granted.Message;
                _log.LogInformation("The claim on {Uses} of run {Run} was refused: {Answer}", offer.Uses, offer.RunId, answer.Message);
                return null;
            }
            catch (RequestException error)
            {
                // The claim may have been granted and the answer lost. Asking again is safe, and not asking would leave the lease to run out.
                if (tries < ClaimTries)
                    continue;
                // An orchestrator that is away for so long makes the offer again when it is back: nothing is wrong with this one that anybody should look at.
                _log.LogWarning(error, "The claim on {Uses} of run {Run} was not answered; the offer is let go.", offer.Uses, offer.RunId);
                return null;
            }
        }
    }

    private bool Start(StepOffer offer, AttemptGranted granted, ITransformer transformer)
    {
        var attempt = new RunningAttempt(offer, granted, Instance, transformer, _place, _folder, _bus, _store, _loops.Add(_name, "heartbeat", granted.HeartbeatEvery * 2), _storePatience, _time, _log);
        var entry = new Running(attempt);
        // Delivered twice and claimed twice: the first one works on it.
        if (!_running.TryAdd((offer.RunId, offer.Fence), entry))
        {
            attempt.Dispose();
            return false;
        }
        entry.Work = Task.Run(async () =>
        {
            using var activity = Telemetry.Start($"attempt {offer.Uses}", offer.TraceParent);
            activity?.SetTag("tinymlaas.run", offer.RunId).SetTag("tinymlaas.step", offer.Step).SetTag("tinymlaas.attempt", offer.Attempt).SetTag("tinymlaas.fence", offer.Fence);
            using var words = StepScope.Begin(_log, offer.RunId, offer.Step, offer.Attempt);
            try
            {
                await attempt.RunAsync();
            }
            catch (Exception error)
            {
                _log.LogError(error, "Attempt {Fence} at {Uses} of run {Run} ended without an answer to the orchestrator; its lease runs out.", offer.Fence, offer.Uses, offer.RunId);
            }
            finally
            {
                _running.TryRemove((offer.RunId, offer.Fence), out _);
                attempt.Dispose();
                _slots.Release();
            }
        }, CancellationToken.None);
        if (IsStopping)
            attempt.Stop(StopReason.Leaving);
        return true;
    }

    internal static TransformerDescriptor Describe(TransformerInfo info) => new()
    {
        Name = info.Name,
        Version = info.Version,
        Summary = info.Summary,
        Accepts = info.Accepts,
        Produces = info.Produces,
        Datasets = info.Datasets,
        Options = TransformerOptions.Schema(info.Options),
        Listed = info.Listed,
    };

    private sealed class Running(RunningAttempt attempt)
    {
        public RunningAttempt Attempt { get; } = attempt;

        public Task Work { get; set; } = Task.CompletedTask;
    }
}
