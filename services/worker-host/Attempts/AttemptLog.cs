using System.Globalization;
using System.Text;

namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>What the worker writes about an attempt until a message takes it along. Bounded: a step keeps no more anyway.</summary>
internal sealed class AttemptLog(TimeProvider time)
{
    private const int LimitBytes = 64 * 1024;

    private readonly Lock _gate = new();
    private readonly List<string> _pending = [];
    private int _bytes;

    public void Write(string line)
    {
        var text = string.Create(CultureInfo.InvariantCulture, $"{time.GetUtcNow():yyyy-MM-dd'T'HH:mm:ss.fff'Z'} {line}");
        lock (_gate)
        {
            if (_bytes >= LimitBytes)
                return;
            _bytes += Encoding.UTF8.GetByteCount(text) + 1;
            _pending.Add(_bytes < LimitBytes ? text : $"The log ends here: an attempt writes at most {LimitBytes / 1024} KiB.");
        }
    }

    /// <summary>Takes what is there; <see cref="Return"/> it when it could not be sent.</summary>
    public IReadOnlyList<string> Take()
    {
        lock (_gate)
        {
            string[] lines = [.. _pending];
            _pending.Clear();
            return lines;
        }
    }

    public void Return(IReadOnlyList<string> lines)
    {
        lock (_gate)
            _pending.InsertRange(0, lines);
    }
}
