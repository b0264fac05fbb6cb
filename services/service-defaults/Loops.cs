using System.Collections.Concurrent;
using System.Globalization;
using TinyMLaaS.Contracts.Health;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>The loops in the background of this process that its services cannot do without: each says when it has gone round, and one that no longer does makes its service not ready.</summary>
public sealed class Loops(TimeProvider time)
{
    // One round may wait for a database or a broker that is slow; those have limits that are shorter.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(45);

    private readonly ConcurrentDictionary<Loop, byte> _loops = new();

    /// <summary>A loop that is to go round from now on. Until its first round its service has not started.</summary>
    /// <param name="service">Whose loop it is, e.g. <c>orchestrator</c>.</param>
    /// <param name="name">What it does, e.g. <c>sweeper</c>; <c>/health/ready</c> calls it <c>SERVICE-NAME</c>.</param>
    /// <param name="every">The longest that it waits between two rounds by itself.</param>
    public Loop Add(string service, string name, TimeSpan every)
    {
        var loop = new Loop(this, service, name, every + Patience, time);
        _loops[loop] = 0;
        return loop;
    }

    internal void Remove(Loop loop) => _loops.TryRemove(loop, out _);

    /// <summary>The loops of a service that have not gone round for too long, or not yet.</summary>
    internal IEnumerable<MissingService> Missing(string service) => Of(service).Select(l => l.Fault()).OfType<MissingService>();

    /// <summary>The loops of a service that have never gone round.</summary>
    internal IEnumerable<MissingService> NotBegun(string service) => Of(service).Where(l => !l.HasBegun).Select(l => l.Fault()).OfType<MissingService>();

    private IEnumerable<Loop> Of(string service) => _loops.Keys.Where(l => l.Service == service).OrderBy(l => l.Name, StringComparer.Ordinal);
}

/// <summary>One of them.</summary>
public sealed class Loop : IDisposable
{
    private const long Never = long.MinValue;

    private readonly Loops _all;
    private readonly TimeSpan _limit;
    private readonly TimeProvider _time;
    private long _passed = Never;

    internal Loop(Loops all, string service, string name, TimeSpan limit, TimeProvider time) =>
        (_all, Service, Name, _limit, _time) = (all, service, name, limit, time);

    internal string Service { get; }

    internal string Name { get; }

    internal bool HasBegun => Volatile.Read(ref _passed) != Never;

    /// <summary>It goes round: nothing that it waited for holds it.</summary>
    public void Pass() => Volatile.Write(ref _passed, _time.GetTimestamp());

    /// <summary>It has nothing to do any more, and nobody waits for it.</summary>
    public void Dispose() => _all.Remove(this);

    internal MissingService? Fault()
    {
        var passed = Volatile.Read(ref _passed);
        if (passed == Never)
            return Missing("its loop has not gone round yet");
        var ago = _time.GetElapsedTime(passed);
        return ago <= _limit ? null : Missing(string.Create(CultureInfo.InvariantCulture, $"its loop has not gone round for {ago.TotalSeconds:0} s, at most {_limit.TotalSeconds:0} s are usual: it hangs or has ended. Its process needs a restart"));
    }

    private MissingService Missing(string reason) => new() { Service = $"{Service}-{Name}", Reason = reason };
}
