using System.Globalization;

namespace TinyMLaaS.Benchmarks.Artifacts;

/// <summary>The most memory that processes have held together since this was made, looked at again and again.</summary>
internal sealed class PeakMemory : IDisposable
{
    private static readonly TimeSpan Between = TimeSpan.FromMilliseconds(20);

    private readonly int[] _processes;
    private readonly Timer _timer;
    private long _peak;

    /// <param name="processes">Their ids.</param>
    public PeakMemory(int[] processes)
    {
        _processes = processes;
        _timer = new Timer(_ => Look(), null, TimeSpan.Zero, Between);
    }

    /// <summary>In MiB.</summary>
    public double Mib
    {
        get
        {
            Look();
            return _peak / 1024.0;
        }
    }

    public void Dispose() => _timer.Dispose();

    // Kibibytes, as the system counts them.
    private void Look() => _peak = Math.Max(_peak, _processes.Sum(process => File.ReadLines($"/proc/{process}/status").Where(line => line.StartsWith("VmRSS:", StringComparison.Ordinal))
        .Sum(line => long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture))));
}
