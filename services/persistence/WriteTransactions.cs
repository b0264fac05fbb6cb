using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;

namespace TinyMLaaS.Persistence;

/// <summary>
/// Transactions that write. SQLite has one writer at a time, so those of this process come one after the other: waiting here costs no thread while waiting
/// in SQLite blocks one. On PostgreSQL the rows that are locked decide who waits.
/// </summary>
/// <typeparam name="TContext">Whose database; each has a queue of its own.</typeparam>
public sealed class WriteTransactions<TContext> : IDisposable where TContext : ServiceDbContext
{
    private readonly SemaphoreSlim _turn = new(1, 1);

    /// <summary>
    /// Begins a transaction: BEGIN IMMEDIATE on SQLite, READ COMMITTED on PostgreSQL. A save in it sets no savepoint unless that is asked for: when one fails, so does all.
    /// </summary>
    public async Task<WriteTransaction> BeginAsync(TContext database, CancellationToken cancellation)
    {
        database.Database.AutoSavepointsEnabled = false;
        var queued = !database.Database.IsNpgsql();
        if (queued)
            await _turn.WaitAsync(cancellation);
        try
        {
            return new WriteTransaction(await database.Database.BeginTransactionAsync(cancellation), queued ? _turn : null);
        }
        catch
        {
            if (queued)
                _turn.Release();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _turn.Dispose();
}

/// <summary>A transaction that writes; rolled back when it is left without <see cref="CommitAsync"/>.</summary>
public sealed class WriteTransaction : IAsyncDisposable
{
    private readonly IDbContextTransaction _transaction;
    private readonly SemaphoreSlim? _turn;

    internal WriteTransaction(IDbContextTransaction transaction, SemaphoreSlim? turn)
    {
        _transaction = transaction;
        _turn = turn;
    }

    /// <summary>Makes it last.</summary>
    public Task CommitAsync(CancellationToken cancellation) => _transaction.CommitAsync(cancellation);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await _transaction.DisposeAsync();
        }
        finally
        {
            _turn?.Release();
        }
    }
}
