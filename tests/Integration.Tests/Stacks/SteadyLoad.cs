using System.Globalization;

namespace TinyMLaaS.Integration.Tests.Stacks;

/// <summary>Runs that are submitted one after the other, each until it is accepted, while a test does something else. Only so many are on their way at a time, so that a slow machine has no more to do than a fast one.</summary>
internal sealed class SteadyLoad : IAsyncDisposable
{
    private readonly List<Guid> _accepted = [];
    private readonly CancellationTokenSource _end = new();
    private readonly Task _submitting;

    private SteadyLoad(Stack stack, string model, int most, string[] uses) => _submitting = SubmitAsync(stack, model, most, uses);

    /// <param name="stack">Who gets the runs.</param>
    /// <param name="model">Digest of their model.</param>
    /// <param name="most">Runs on their way at a time.</param>
    /// <param name="uses">Their steps.</param>
    public static SteadyLoad Start(Stack stack, string model, int most, params string[] uses) => new(stack, model, most, uses);

    /// <summary>Those accepted so far, in the order in which they were.</summary>
    public IReadOnlyList<Guid> Accepted
    {
        get
        {
            lock (_accepted)
                return [.. _accepted];
        }
    }

    /// <summary>Waits until this many more were accepted; the last of them.</summary>
    public async Task<Guid> MoreAsync(int count)
    {
        var wanted = Accepted.Count + count;
        await Stack.UntilAsync(
            () => _submitting.IsFaulted ? Task.FromException<bool>(_submitting.Exception) : Task.FromResult(Accepted.Count >= wanted),
            () => Task.FromResult($"{Accepted.Count} of {wanted} runs are accepted"));
        return Accepted[wanted - 1];
    }

    /// <summary>Submits no more; what was accepted.</summary>
    public async Task<IReadOnlyList<Guid>> StopAsync()
    {
        await _end.CancelAsync();
        await _submitting;
        return Accepted;
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        // A failure was told by whoever waited for runs; here it must not hide another.
        await _submitting.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        _end.Dispose();
    }

    private async Task SubmitAsync(Stack stack, string model, int most, string[] uses)
    {
        for (var i = 0; !_end.IsCancellationRequested; i++)
        {
            var run = await stack.AcceptedAsync(model, i.ToString(CultureInfo.InvariantCulture), uses);
            lock (_accepted)
                _accepted.Add(run);
            // However long that takes: a limit for it is of those who wait for all to end.
            while (i >= most && !_end.IsCancellationRequested && !await stack.HasEndedAsync(Accepted[i - most]))
                await Task.Delay(100, Stack.Cancellation);
        }
    }
}
