using Microsoft.Extensions.Time.Testing;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>Virtual time: what is due next happens next, and nothing else moves the clock. All choices come from one seeded source.</summary>
internal sealed class Schedule(int seed)
{
    private readonly PriorityQueue<Func<Task>, (long At, long Order)> _due = new();
    private readonly DateTimeOffset _start = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private long _order;

    public Random Random { get; } = new(seed);

    public FakeTimeProvider Clock { get; } = new(new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero));

    public DateTimeOffset Now => Clock.GetUtcNow();

    public TimeSpan Elapsed => Now - _start;

    public void After(TimeSpan delay, Action act) => After(delay, () =>
    {
        act();
        return Task.CompletedTask;
    });

    public void After(TimeSpan delay, Func<Task> act) => _due.Enqueue(act, ((Now + delay).UtcTicks, _order++));

    /// <summary>True once out of so many times as <paramref name="probability"/> says.</summary>
    public bool Chance(double probability) => Random.NextDouble() < probability;

    public TimeSpan Between(double fromSeconds, double toSeconds) => TimeSpan.FromSeconds(fromSeconds + Random.NextDouble() * (toSeconds - fromSeconds));

    public T Pick<T>(IReadOnlyList<T> from) => from[Random.Next(from.Count)];

    /// <summary>Lets the next thing happen; false when nothing is left to.</summary>
    public async Task<bool> StepAsync()
    {
        if (!_due.TryDequeue(out var act, out var due))
            return false;
        if (due.At > Now.UtcTicks)
            Clock.SetUtcNow(new DateTimeOffset(due.At, TimeSpan.Zero));
        await act();
        return true;
    }
}
