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

    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _news = new(0, 1);
    private TransformProgress _progress = new(0, "");
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
        while (!done.IsCancellationRequested)
        {
            loop.Pass();
            await WaitForNewsAsync(granted.HeartbeatEvery, done);
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

    private async Task<StopReason?> TellAsync(CancellationToken done)
    {
        TransformProgress progress;
        lock (_gate)
            progress = _progress;
        var taken = lines.Take();
        var sent = time.GetTimestamp();
        try
        {
            var answer = await bus.CreateRequestClient<Heartbeat>(granted.HeartbeatEvery).GetResponse<HeartbeatReply>(
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
                },
                done);
            switch (answer.Message.Verdict)
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
            lines.Return(taken);
            return null;
        }
        catch (RequestException error)
        {
            lines.Return(taken);
            log.LogWarning(error, "A heartbeat of run {Run} was not answered.", offer.RunId);
            return LeaseIsOver ? StopReason.Lost : null;
        }
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
        catch (SemaphoreFullException)
        {
            // A beat is due already and takes this news along.
        }
    }
}
