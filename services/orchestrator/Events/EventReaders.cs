using Microsoft.Extensions.Options;

namespace TinyMLaaS.Orchestrator.Events;

/// <summary>Bounds what reading events may take: connections that stay open, and queries at the same time.</summary>
internal sealed class EventReaders(IOptions<OrchestratorOptions> options) : IDisposable
{
    /// <summary>When to come back if there is no seat.</summary>
    public const int RetrySeconds = 5;

    /// <summary>However many wait for the same event, the database is not asked by all of them at once.</summary>
    private const int Turns = 4;

    private readonly SemaphoreSlim _turns = new(Turns, Turns);
    private int _taken;

    /// <summary>Streams and long polls that may be open at once.</summary>
    public int Seats => options.Value.MaxEventReaders;

    /// <summary>True while somebody waits for events.</summary>
    public bool Any => Volatile.Read(ref _taken) > 0;

    /// <summary>A seat until it is disposed; null when there is none.</summary>
    public IDisposable? TryEnter()
    {
        if (Interlocked.Increment(ref _taken) <= Seats)
            return new Seat(this);
        Interlocked.Decrement(ref _taken);
        return null;
    }

    /// <summary>The right to ask the database, until it is disposed.</summary>
    public async Task<IDisposable> TurnAsync(CancellationToken cancellation)
    {
        await _turns.WaitAsync(cancellation);
        return new Turn(_turns);
    }

    public void Dispose() => _turns.Dispose();

    private sealed class Seat(EventReaders readers) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
                Interlocked.Decrement(ref readers._taken);
        }
    }

    private sealed class Turn(SemaphoreSlim turns) : IDisposable
    {
        public void Dispose() => turns.Release();
    }
}
