using System.Collections.Concurrent;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Transformers;

namespace TinyMLaaS.Orchestrator.Dispatching;

/// <summary>Which workers are there, by what they announced. Kept in memory: whoever is there says so again every few seconds.</summary>
internal sealed class WorkerPools(TimeProvider time, IOptions<OrchestratorOptions> options)
{
    private readonly ConcurrentDictionary<string, Seen> _instances = new(StringComparer.Ordinal);

    public void Note(WorkerAnnounced announcement)
    {
        if (announcement.Leaving)
            _instances.TryRemove(announcement.Instance, out _);
        else
            _instances[announcement.Instance] = new Seen(announcement, time.GetTimestamp());
    }

    /// <summary>The pools that have a worker now, by worker kind.</summary>
    public IReadOnlyDictionary<string, WorkerPool> Current()
    {
        // By our own monotonic clock: the workers' clocks may be wrong, and ours may be set.
        foreach (var (instance, seen) in _instances)
        {
            if (time.GetElapsedTime(seen.At) > options.Value.Silence)
                _instances.TryRemove(new KeyValuePair<string, Seen>(instance, seen));
        }
        return _instances.Values
            .Select(s => s.Announcement)
            .GroupBy(a => a.Worker, StringComparer.Ordinal)
            // The dispatcher goes through them in this order: the same one in every process.
            .OrderBy(g => g.Key, StringComparer.Ordinal)
            .ToDictionary(
                g => g.Key,
                g => new WorkerPool(
                    g.Key,
                    g.OrderBy(a => a.Instance, StringComparer.Ordinal).First().Queue,
                    g.Sum(a => a.Slots),
                    g.SelectMany(a => a.Transformers).Select(t => (t.Name, t.Version)).ToHashSet()),
                StringComparer.Ordinal);
    }

    private sealed record Seen(WorkerAnnounced Announcement, long At);
}

/// <summary>The workers of one kind.</summary>
/// <param name="Worker">The kind.</param>
/// <param name="Queue">The queue that they all take offers from.</param>
/// <param name="Slots">Attempts they run at once, all together.</param>
/// <param name="Transformers">What they can do.</param>
internal sealed record WorkerPool(string Worker, string Queue, int Slots, IReadOnlySet<(string Name, string Version)> Transformers)
{
    /// <summary>The version to offer a step with; null when the pool cannot run it.</summary>
    public string? VersionFor(string uses, string? version) => version is null
        // The longer text is the newer one, so that 10 comes after 9.
        ? Transformers.Where(t => t.Name == uses).Select(t => t.Version).OrderBy(v => v.Length).ThenBy(v => v, StringComparer.Ordinal).LastOrDefault()
        : Transformers.Contains((uses, version)) ? version : null;
}
