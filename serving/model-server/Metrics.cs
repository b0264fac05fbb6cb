using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace TinyMLaaS.ModelServer;

/// <summary>What Prometheus asks for, in its text format.</summary>
internal sealed class Metrics
{
    private static readonly double[] Bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    private readonly ConcurrentDictionary<(string Model, int Status), StrongCount> _requests = new();
    private readonly ConcurrentDictionary<(string Model, string What), Histogram> _seconds = new();
    private int _running;

    /// <summary>A request for an inference was answered.</summary>
    public void Answered(string model, int status, TimeSpan taken)
    {
        Interlocked.Increment(ref _requests.GetOrAdd((model, status), _ => new StrongCount()).Value);
        _seconds.GetOrAdd((model, "request"), _ => new Histogram()).Add(taken.TotalSeconds);
    }

    /// <summary>An inference has ended.</summary>
    public void Inferred(string model, TimeSpan taken) => _seconds.GetOrAdd((model, "inference"), _ => new Histogram()).Add(taken.TotalSeconds);

    /// <summary>An inference has begun, until what is returned is disposed of.</summary>
    public Running Begin()
    {
        Interlocked.Increment(ref _running);
        return new Running(this);
    }

    public string Write(IEnumerable<ServedModel> models, long bodyBytes)
    {
        var text = new StringBuilder();
        Head(text, "model_server_model_info", "gauge", "The models that are served, with their digests.");
        foreach (var model in models.OrderBy(m => m.Name, StringComparer.Ordinal))
            text.Append(CultureInfo.InvariantCulture, $"model_server_model_info{{model=\"{model.Name}\",digest=\"{model.Digest}\"}} 1\n");
        Head(text, "model_server_requests_total", "counter", "Requests for an inference that were answered, by model and status.");
        foreach (var ((model, status), count) in _requests.OrderBy(r => r.Key))
            text.Append(CultureInfo.InvariantCulture, $"model_server_requests_total{{model=\"{model}\",status=\"{status}\"}} {Volatile.Read(ref count.Value)}\n");
        Head(text, "model_server_inferences_running", "gauge", "Inferences that run now.");
        text.Append(CultureInfo.InvariantCulture, $"model_server_inferences_running {Volatile.Read(ref _running)}\n");
        Head(text, "model_server_body_bytes", "gauge", "What the bodies of requests hold now.");
        text.Append(CultureInfo.InvariantCulture, $"model_server_body_bytes {bodyBytes}\n");
        foreach (var (what, help) in (ReadOnlySpan<(string, string)>)[("request", "From a request's first byte to the last of its answer."), ("inference", "What of it the network took.")])
        {
            var name = $"model_server_{what}_seconds";
            Head(text, name, "histogram", help);
            foreach (var ((model, _), histogram) in _seconds.Where(s => s.Key.What == what).OrderBy(s => s.Key))
                histogram.Write(text, name, model);
        }
        Head(text, "process_resident_memory_bytes", "gauge", "Memory of the process.");
        text.Append(CultureInfo.InvariantCulture, $"process_resident_memory_bytes {Environment.WorkingSet}\n");
        return text.ToString();
    }

    private static void Head(StringBuilder text, string name, string type, string help) => text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {help}\n# TYPE {name} {type}\n");

    internal readonly struct Running(Metrics metrics) : IDisposable
    {
        public void Dispose() => Interlocked.Decrement(ref metrics._running);
    }

    private sealed class StrongCount
    {
        public long Value;
    }

    private sealed class Histogram
    {
        private readonly long[] _counts = new long[Bounds.Length + 1];
        private readonly Lock _gate = new();
        private double _sum;

        public void Add(double seconds)
        {
            var bucket = Array.FindIndex(Bounds, b => seconds <= b);
            lock (_gate)
            {
                _counts[bucket < 0 ? Bounds.Length : bucket]++;
                _sum += seconds;
            }
        }

        public void Write(StringBuilder text, string name, string model)
        {
            lock (_gate)
            {
                var total = 0L;
                for (var i = 0; i < _counts.Length; i++)
                {
                    total += _counts[i];
                    var bound = i < Bounds.Length ? Bounds[i].ToString(CultureInfo.InvariantCulture) : "+Inf";
                    text.Append(CultureInfo.InvariantCulture, $"{name}_bucket{{model=\"{model}\",le=\"{bound}\"}} {total}\n");
                }
                text.Append(CultureInfo.InvariantCulture, $"{name}_sum{{model=\"{model}\"}} {_sum}\n{name}_count{{model=\"{model}\"}} {total}\n");
            }
        }
    }
}
