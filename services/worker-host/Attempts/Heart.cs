using MassTransit;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>
/// Keeps the lease of an attempt: tells the orchestrator how far it is, regularly and soon after each progress, and obeys its answers.
/// </summary>
internal sealed class Heart(StepOffer offer, AttemptGranted granted, string instance, AttemptLog lines, IBus bus, Loop loop, TimeProvider time, ILogger log, Action<StopReason> stop)
    : IProgress<TransformProgress>, IDisposable
{
    /// <summary>Progress is told no more often than this, so that a chatty transformer cannot flood the orchestrator.</summary>
    private static readonly TimeSpan ProgressEvery = TimeSpan.FromMilliseconds(400);

    /// <summary>A line is told this long after it was written at the latest, with all that were written by then.</summary>
    private static readonly TimeSpan LinesWithin = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan LastWordsWithin = TimeSpan.FromSeconds(5);

    private const int ChunkBytes = 16 * 1024;

    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _news = new(0, 1);
    private TransformProgress _progress = new(0, "");
    private volatile bool _progressed;
    private readonly long _began = time.GetTimestamp();
    private long _leasedSince = time.GetTimestamp();

    /// <summary>True when the lease cannot be held any more, as far as can be told from here.</summary>
    public bool LeaseIsOver => granted.Waits
        ? time.GetElapsedTime(_began) > granted.Limit
        : time.GetElapsedTime(Interlocked.Read(ref _leasedSince)) > granted.Lease;

    public void Report(TransformProgress value)
    {
        bool changed;
        lock (_gate)
        {
            // No message can carry such a number.
            if (!double.IsFinite(value.Fraction))
                value = value with { Fraction = _progress.Fraction };
            changed = value != _progress;
            _progressed |= changed;
            if (value.Activity != _progress.Activity && value.Activity.Length > 0)
                lines.Write(value.Activity);
            _progress = value;
        }
        if (changed)
            Wake();
    }

    /// <summary>Beats until <paramref name="done"/>.</summary>
    public async Task BeatAsync(CancellationToken done)
    {
        lines.Watch(Wake);
        while (!done.IsCancellationRequested)
        {
            loop.Pass();
            await WaitUntilDueAsync(done);
            if (done.IsCancellationRequested)
                break;
            if (await TellAsync(done) is { } reason)
            {
                stop(reason);
                break;
            }
            await PauseAsync(done);
        }
        // Not when it ends by an error: then nobody renews the lease any more, and that is to be seen.
        loop.Dispose();
    }

    public void Dispose()
    {
        loop.Dispose();
        _news.Dispose();
    }

    /// <summary>Tells what nobody has heard yet of an attempt whose end is not for its worker to tell. The answer does not matter, and whether there is one.</summary>
    public async Task SayLastWordsAsync()
    {
        while (lines.HasNews)
        {
            try
            {
                await BeatOnceAsync(LastWordsWithin, CancellationToken.None);
            }
            catch (RequestException error)
            {
                log.LogInformation(error, "The last lines of an attempt were not heard.");
                return;
            }
        }
    }

    private async Task<StopReason?> TellAsync(CancellationToken done)
    {
        var sent = time.GetTimestamp();
        try
        {
            switch (await BeatOnceAsync(granted.HeartbeatEvery, done))
            {
                case HeartbeatVerdicts.Cancel:
                    return StopReason.Cancelled;
                case HeartbeatVerdicts.Lost:
                    return StopReason.Lost;
                default:
                    Interlocked.Exchange(ref _leasedSince, sent);
                    return null;
            }
        }
        catch (OperationCanceledException) when (done.IsCancellationRequested)
        {
            return null;
        }
        catch (RequestException error)
        {
            log.LogWarning(error, "A heartbeat of run {Run} was not answered.", offer.RunId);
            return LeaseIsOver ? StopReason.Lost : null;
        }
    }

    private async Task<string> BeatOnceAsync(TimeSpan within, CancellationToken cancellation)
    {
        TransformProgress progress;
        lock (_gate)
            (progress, _progressed) = (_progress, false);
        var (taken, from) = lines.Next(ChunkBytes);
        var answer = await bus.CreateRequestClient<Heartbeat>(within).GetResponse<HeartbeatReply>(
            new Heartbeat
            {
                Tenant = offer.Tenant,
                RunId = offer.RunId,
                Step = offer.Step,
                Attempt = offer.Attempt,
                Fence = offer.Fence,
                Worker = instance,
                Progress = progress.Fraction,
                Activity = progress.Activity.Length > 0 ? progress.Activity : null,
                Log = taken,
                LogFrom = from,
            },
            cancellation);
        lines.Told(taken.Count);
        return answer.Message.Verdict;
    }

    /// <summary>Until there is progress, a line has waited for company long enough, or the regular beat is due.</summary>
    private async Task WaitUntilDueAsync(CancellationToken done)
    {
        if (!_progressed && !lines.HasNews)
            await WaitForNewsAsync(granted.HeartbeatEvery, done);
        var within = LinesWithin < granted.HeartbeatEvery / 4 ? LinesWithin : granted.HeartbeatEvery / 4;
        var since = time.GetTimestamp();
        while (!_progressed && lines.HasNews && !done.IsCancellationRequested && within - time.GetElapsedTime(since) is { Ticks: > 0 } left)
            await WaitForNewsAsync(left, done);
    }

    private async Task WaitForNewsAsync(TimeSpan limit, CancellationToken done)
    {
        using var timeout = new CancellationTokenSource(limit, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, done);
        try
        {
            await _news.WaitAsync(either.Token);
        }
        catch (OperationCanceledException)
        {
            // Time for the regular beat, or the end.
        }
    }

    private async Task PauseAsync(CancellationToken done)
    {
        try
        {
            await Task.Delay(ProgressEvery < granted.HeartbeatEvery ? ProgressEvery : granted.HeartbeatEvery, time, done);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private void Wake()
    {
        try
        {
            _news.Release();
        }
        catch (Exception error) when (error is SemaphoreFullException or ObjectDisposedException)
        {
            // A beat is due already and takes this news along; or there are no more beats.
        }
    }
}
