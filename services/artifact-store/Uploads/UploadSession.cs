using TinyMLaaS.ArtifactStore.Storage;

namespace TinyMLaaS.ArtifactStore.Uploads;

/// <summary>An upload that was begun and has not ended: bytes that may come in parts, in any number of requests.</summary>
internal sealed class UploadSession(string id, TenantName tenant, string kind, Digest? announced, IncomingFile file, DateTimeOffset touched) : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1, 1);
    private CancellationTokenSource? _writer;

    public string Id => id;

    public TenantName Tenant => tenant;

    /// <summary>What the artifact is to be stored as.</summary>
    public string Kind => kind;

    /// <summary>The digest that the sender has announced; null when it announced none.</summary>
    public Digest? Announced => announced;

    public IncomingFile File => file;

    /// <summary>When something was last added.</summary>
    public DateTimeOffset Touched { get; set; } = touched;

    /// <summary>Its bytes as the limit of its tenant counts them.</summary>
    public long Counted { get; set; }

    /// <summary>True once it is an artifact or was given up.</summary>
    public bool HasEnded { get; set; }

    /// <summary>True while nobody adds to it.</summary>
    public bool IsIdle => _turn.CurrentCount > 0;

    /// <summary>
    /// Waits for the turn to change it, and ends the turn of who has it: a sender that comes again comes because its connection is gone, which this side of it
    /// may not have noticed yet.
    /// </summary>
    /// <param name="cancellation">Of who asks; the turn's own token fires with it, and when somebody else comes.</param>
    public async Task<Turn> TakeAsync(CancellationToken cancellation)
    {
        Interrupt();
        await _turn.WaitAsync(cancellation);
        var turn = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Volatile.Write(ref _writer, turn);
        return new Turn(this, turn);
    }

    /// <summary>Takes the turn if nobody has it.</summary>
    public Turn? TryTake()
    {
        if (!_turn.Wait(0))
            return null;
        var turn = new CancellationTokenSource();
        Volatile.Write(ref _writer, turn);
        return new Turn(this, turn);
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private void Interrupt()
    {
        try
        {
            Volatile.Read(ref _writer)?.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // That turn is over.
        }
    }

    /// <summary>The right to change the session, until it is disposed of.</summary>
    internal sealed class Turn(UploadSession session, CancellationTokenSource source) : IDisposable
    {
        public CancellationToken Token { get; } = source.Token;

        public void Dispose()
        {
            Volatile.Write(ref session._writer, null);
            source.Dispose();
            session._turn.Release();
        }
    }
}
