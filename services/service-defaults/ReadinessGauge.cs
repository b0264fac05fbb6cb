using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using TinyMLaaS.Contracts.Health;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Shows as a metric what <c>/health/ready</c> would say. It is looked at when metrics are read, so it costs nothing where nobody reads them.</summary>
internal sealed class ReadinessGauge
{
    private readonly ConcurrentDictionary<string, IReadOnlyList<MissingService>> _missing = new(StringComparer.Ordinal);

    public ReadinessGauge(IMeterFactory meters)
    {
        var meter = meters.Create(Telemetry.Name);
        meter.CreateObservableGauge("tinymlaas.ready", () => _missing.Select(m => new Measurement<int>(m.Value.Count == 0 ? 1 : 0, Of(m.Key))), description: "1 when nothing that the service needs is missing, else 0.");
        meter.CreateObservableGauge("tinymlaas.missing", () => _missing.SelectMany(m => m.Value.Select(w => new Measurement<int>(1, Of(m.Key), new KeyValuePair<string, object?>("missing", w.Service)))),
            description: "1 for each thing that the service needs and that is missing now, by its name in /health/ready.");
    }

    public void Note(string service, IReadOnlyList<MissingService> missing) => _missing[service] = missing;

    private static KeyValuePair<string, object?> Of(string service) => new("service", service);
}
