using System.Diagnostics;
using System.Globalization;
using TinyMLaaS.Integration.Tests.Stacks;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>
/// Kills services of a stack, one after the other, and starts each again. Who is next and how long it waits follow from a seed, so a script that has found something finds it again.
/// </summary>
/// <param name="stack">Whose services.</param>
/// <param name="seed">Of the order and the pauses.</param>
/// <param name="options">Options that services are started again with, by service.</param>
internal sealed class KillScript(Stack stack, int seed, IReadOnlyDictionary<string, IReadOnlyDictionary<string, string>> options)
{
    private readonly Random _random = new(seed);
    private readonly Dictionary<string, int> _kills = new(StringComparer.Ordinal);
    private readonly HashSet<int> _pids = [];

    /// <summary>How often each was killed.</summary>
    public IReadOnlyDictionary<string, int> Kills => _kills;

    /// <summary>Each of them so many times, in an order of chance, with a pause of so long from one kill to the next.</summary>
    /// <param name="services">The victims.</param>
    /// <param name="times">Kills of each.</param>
    /// <param name="every">From one kill to the next at least.</param>
    /// <param name="before">What is done before each kill.</param>
    public async Task KillEachAsync(IReadOnlyList<string> services, int times, TimeSpan every, Func<Task> before)
    {
        var victims = Enumerable.Repeat(services, times).SelectMany(s => s).ToArray();
        _random.Shuffle(victims);
        foreach (var victim in victims)
        {
            var since = Stopwatch.StartNew();
            await before();
            await EndAsync(victim);
            await StartAsync(victim);
            if (every - since.Elapsed is { Ticks: > 0 } rest)
                await Task.Delay(rest, Stack.Cancellation);
        }
    }

    /// <summary>One or another, until a time has passed.</summary>
    /// <param name="services">The victims; each is killed before one is killed again.</param>
    /// <param name="duration">How long.</param>
    /// <param name="shortest">The shortest pause from one kill to the next, during which a victim comes back or does not.</param>
    /// <param name="longest">The longest.</param>
    public async Task KillForAsync(IReadOnlyList<string> services, TimeSpan duration, TimeSpan shortest, TimeSpan longest)
    {
        var since = Stopwatch.StartNew();
        var returns = services.ToDictionary(s => s, _ => Task.CompletedTask);
        while (since.Elapsed < duration)
        {
            var round = services.ToArray();
            _random.Shuffle(round);
            foreach (var victim in round)
            {
                await Task.Delay(shortest + _random.NextDouble() * (longest - shortest), Stack.Cancellation);
                await returns[victim];
                await EndAsync(victim);
                returns[victim] = StartAndWorkAsync(victim);
            }
        }
        await Task.WhenAll(returns.Values);
    }

    /// <summary>What was done, for people.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"seed {seed}: {_pids.Count} kills ({string.Join(", ", _kills.OrderBy(k => k.Key, StringComparer.Ordinal).Select(k => $"{k.Key} {k.Value}"))})");

    private async Task EndAsync(string victim)
    {
        var process = stack.Process(victim);
        await stack.KillAsync(victim);
        Assert.True(!process.IsRunning && _pids.Add(process.Pid), $"{victim} was not killed");
        _kills[victim] = _kills.GetValueOrDefault(victim) + 1;
    }

    // Where a start takes long nothing would ever be done, were it killed again at once.
    private async Task StartAndWorkAsync(string victim)
    {
        var since = Stopwatch.StartNew();
        await StartAsync(victim);
        await Task.Delay(3 * since.Elapsed, Stack.Cancellation);
    }

    private Task StartAsync(string victim) => stack.StartServiceAsync(victim, "", options.GetValueOrDefault(victim));
}
