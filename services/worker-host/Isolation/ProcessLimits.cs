using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>What this process may take of the machine, and what it took. Linux; elsewhere nothing is limited and nothing is known.</summary>
internal static class ProcessLimits
{
    private const int ResourceData = 2;
    private const int ResourceCore = 4;
    private const int SignalKill = 9;

    /// <summary>
    /// Limits the private memory of this process: what native code and the runtime can write to, whether or not it was written to.
    /// Not the address space (RLIMIT_AS), of which the runtime reserves hundreds of gigabytes that it never uses.
    /// A core file, which would hold the user's data, is never written, and when the machine itself runs out of memory this process goes first.
    /// </summary>
    /// <param name="bytes">The most, from now on.</param>
    /// <exception cref="InvalidOperationException">The system refuses.</exception>
    public static void Apply(long bytes)
    {
        if (!OperatingSystem.IsLinux())
            return;
        Lower(ResourceCore, 0);
        Lower(ResourceData, (ulong)bytes);
        try
        {
            File.WriteAllText("/proc/self/oom_score_adj", "800");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A container may keep this file from being written; the limits hold all the same.
        }
    }

    /// <summary>The most memory that this process held at once since it started, in bytes; null where the system does not say.</summary>
    public static long? PeakBytes()
    {
        const string name = "VmHWM:";
        if (!OperatingSystem.IsLinux())
            return null;
        var line = File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal));
        return line is null ? null : long.Parse(line.AsSpan(name.Length).Trim().TrimEnd(" kB"), CultureInfo.InvariantCulture) << 10;
    }

    /// <summary>The stream for messages, after which whatever else writes to standard output, native code included, writes to standard error.</summary>
    public static Stream TakeOutput()
    {
        if (!OperatingSystem.IsLinux())
            return Open(1, FileAccess.Write);
        var output = Duplicate(1);
        if (output < 0 || Duplicate(2, 1) < 0)
            throw new InvalidOperationException("The standard streams cannot be duplicated.");
        return Open(output, FileAccess.Write);
    }

    /// <summary>Standard input.</summary>
    public static Stream Input() => Open(0, FileAccess.Read);

    /// <summary>Standard error.</summary>
    public static Stream Errors() => Open(2, FileAccess.Write);

    /// <summary>Ends this process at once, whatever its other threads do.</summary>
    public static void EndNow()
    {
        if (OperatingSystem.IsLinux())
            _ = Kill(Environment.ProcessId, SignalKill);
        Environment.Exit(1);
    }

    private static FileStream Open(int descriptor, FileAccess access) =>
        new(new Microsoft.Win32.SafeHandles.SafeFileHandle(descriptor, ownsHandle: false), access, bufferSize: 0);

    [SupportedOSPlatform("linux")]
    private static void Lower(int resource, ulong value)
    {
        var refused = GetResourceLimit(resource, out var limit) != 0;
        // A stricter limit that was there before stays: it could not be raised anyway.
        var lower = Math.Min(value, limit.Hard);
        limit = new ResourceLimit { Soft = lower, Hard = lower };
        if (refused || SetResourceLimit(resource, in limit) != 0)
            throw new InvalidOperationException($"The system refuses to limit resource {resource} to {value}: error {Marshal.GetLastPInvokeError()}.");
    }

    [DllImport("libc", EntryPoint = "getrlimit", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int GetResourceLimit(int resource, out ResourceLimit limit);

    [DllImport("libc", EntryPoint = "setrlimit", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SetResourceLimit(int resource, in ResourceLimit limit);

    [DllImport("libc", EntryPoint = "dup")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Duplicate(int descriptor);

    [DllImport("libc", EntryPoint = "dup2")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Duplicate(int descriptor, int onto);

    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Kill(int process, int signal);

    [StructLayout(LayoutKind.Sequential)]
    private struct ResourceLimit
    {
        public ulong Soft;
        public ulong Hard;
    }
}
