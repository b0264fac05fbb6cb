using System.Collections.Concurrent;
using System.Diagnostics;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.EndToEnd.Tests.Traces;

/// <summary>Every HTTP request and every message of this process while it lives.</summary>
internal sealed class TraceListener : IDisposable
{
    private readonly ConcurrentQueue<Activity> _seen = new();
    private readonly ActivityListener _listener;

    public TraceListener()
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name is "MassTransit" or Telemetry.Name or "Microsoft.AspNetCore" or "System.Net.Http",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _seen.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    /// <summary>In the order in which they began.</summary>
    public IReadOnlyList<Activity> Activities => [.. _seen.OrderBy(a => a.StartTimeUtc)];

    public void Dispose() => _listener.Dispose();
}
