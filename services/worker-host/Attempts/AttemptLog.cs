using System.Globalization;
using System.Text;

namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>What the worker writes about an attempt until a message takes it along, chunk by chunk. Bounded: a step keeps no more anyway.</summary>
internal sealed class AttemptLog(TimeProvider time)
{
    private const int LimitBytes = 64 * 1024;

    private readonly Lock _gate = new();
    private readonly Queue<string> _pending = new();
    private int _bytes;
    private int _told;
    private Action? _written;

    /// <summary>True when a message should take something along.</summary>
    public bool HasNews
    {
        get
        {
            lock (_gate)
                return _pending.Count > 0;
        }
    }

    /// <summary>Calls back with each line that is written from now on.</summary>
    public void Watch(Action written) => _written = written;

    /// <summary>Adds a line, or several where the text has several.</summary>
    public void Write(string text)
    {
        var at = time.GetUtcNow();
        foreach (var line in text.AsSpan().EnumerateLines())
            WriteLine(string.Create(CultureInfo.InvariantCulture, $"{at:yyyy-MM-dd'T'HH:mm:ss.fff'Z'} {line}"));
        _written?.Invoke();
    }

    /// <summary>The next chunk: lines up to a size, and how many of the attempt come before them. It stays until <see cref="Told"/>.</summary>
    public (IReadOnlyList<string> Lines, int From) Next(int mostBytes)
    {
        lock (_gate)
        {
            var bytes = 0;
            return ([.. _pending.TakeWhile(line => (bytes += Encoding.UTF8.GetByteCount(line) + 1) <= mostBytes || bytes == Encoding.UTF8.GetByteCount(line) + 1)], _told);
        }
    }

    /// <summary>Everything that has not been told.</summary>
    public (IReadOnlyList<string> Lines, int From) Rest() => Next(int.MaxValue);

    /// <summary>A chunk has arrived.</summary>
    public void Told(int lines)
    {
        lock (_gate)
        {
            for (var i = 0; i < lines; i++)
                _pending.Dequeue();
            _told += lines;
        }
    }

    private void WriteLine(string line)
    {
        lock (_gate)
        {
            if (_bytes >= LimitBytes)
                return;
            _bytes += Encoding.UTF8.GetByteCount(line) + 1;
            _pending.Enqueue(_bytes < LimitBytes ? line : $"The log ends here: an attempt writes at most {LimitBytes / 1024} KiB.");
        }
    }
}
