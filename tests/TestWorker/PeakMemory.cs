using System.Globalization;
using System.Runtime.InteropServices;

namespace TinyMLaaS.TestWorker;

/// <summary>What this process holds of the machine's memory, in bytes. Linux.</summary>
internal static class PeakMemory
{
    /// <summary>Held now.</summary>
    public static long Now => Read("VmRSS:");

    /// <summary>The most that was held since <see cref="Forget"/>.</summary>
    public static long Most => Read("VmHWM:");

    /// <summary>Gives back what nobody uses any more.</summary>
    public static void Collect()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive);
        _ = Trim(0);
    }

    /// <summary>The most is from now on what is held now.</summary>
    public static void Forget() => File.WriteAllText("/proc/self/clear_refs", "5");

    private static long Read(string name)
    {
        var line = File.ReadLines("/proc/self/status").First(l => l.StartsWith(name, StringComparison.Ordinal));
        return long.Parse(line.AsSpan(name.Length).Trim().TrimEnd(" kB"), CultureInfo.InvariantCulture) << 10;
    }

    [DllImport("libc", EntryPoint = "malloc_trim")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Trim(nint keep);
}
