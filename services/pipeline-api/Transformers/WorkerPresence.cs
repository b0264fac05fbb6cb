using System.Collections.Concurrent;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Transformers;

namespace TinyMLaaS.PipelineApi.Transformers;

/// <summary>
/// The worker instances that are there now. In memory on purpose: what an earlier process saw says nothing about now, and each
/// process hears every announcement.
/// </summary>
internal sealed class WorkerPresence(TimeProvider time, IOptions<PipelineApiOptions> options)
{
    private readonly ConcurrentDictionary<string, Seen> _instances = new(StringComparer.Ordinal);

    public void Note(WorkerAnnounced announced)
    {
        if (announced.Leaving)
            _instances.TryRemove(announced.Instance, out _);
        else
            _instances[announced.Instance] = new Seen(announced.Worker, announced.Transformers.Select(t => t.Name).ToHashSet(StringComparer.Ordinal), time.GetTimestamp());
    }

    /// <summary>Instances of a worker kind.</summary>
    public int InstancesOf(string worker) => Fresh().Count(seen => seen.Worker == worker);

    /// <summary>Instances that offer a transformer.</summary>
    public int InstancesWith(string transformer) => Fresh().Count(seen => seen.Transformers.Contains(transformer));

    private IEnumerable<Seen> Fresh()
    {
        foreach (var (instance, seen) in _instances)
        {
            if (time.GetElapsedTime(seen.At) <= options.Value.Silence)
                yield return seen;
            else
                _instances.TryRemove(KeyValuePair.Create(instance, seen));
        }
    }

    private sealed record Seen(string Worker, IReadOnlySet<string> Transformers, long At);
}
