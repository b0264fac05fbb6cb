namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>
/// Writers of this process, one after the other. SQLite has one writer at a time anyway, and waiting here costs no thread while waiting in
/// SQLite blocks one.
/// </summary>
internal sealed class WriteQueue : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1, 1);

    public async Task<Turn> EnterAsync(CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation);
        return new Turn(_turn);
    }

    public void Dispose() => _turn.Dispose();

    internal readonly struct Turn(SemaphoreSlim turn) : IDisposable
    {
        public void Dispose() => turn.Release();
    }
}
