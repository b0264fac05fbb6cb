using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>How to start a worker's own executable as its child, with the runtime that this process uses.</summary>
internal sealed class ChildProgram
{
    // What a process needs to find its runtime and to write text; whatever else the worker's environment holds, keys among it, is none of the child's business.
    private static readonly string[] Inherited = ["PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"];

    private readonly string _host;
    private readonly string _program;

    private ChildProgram(string host, string program, long memoryLimit)
    {
        _host = host;
        _program = program;
        MemoryLimit = memoryLimit;
    }

    /// <summary>The most private memory that a child may have, in bytes.</summary>
    public long MemoryLimit { get; }

    /// <param name="assembly">The worker's executable, built beside what this process runs.</param>
    /// <param name="memoryLimit">The most private memory that a child may have, in bytes.</param>
    /// <exception cref="InvalidOperationException">The executable is no program, or the runtime's launcher is not where the runtime is.</exception>
    public static ChildProgram Of(Assembly assembly, long memoryLimit)
    {
        var settings = Path.ChangeExtension(assembly.Location, ".runtimeconfig.json");
        if (!File.Exists(settings))
            throw new InvalidOperationException($"Cannot run attempts in a process of their own: '{Path.GetFileName(settings)}' is missing beside '{Path.GetFileName(assembly.Location)}'. Build {assembly.GetName().Name} as a program.");
        var host = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet"));
        if (!File.Exists(host))
            throw new InvalidOperationException($"Cannot run attempts in a process of their own: '{host}' is missing, which starts programs with the runtime that this process uses.");
        return new ChildProgram(host, assembly.Location, memoryLimit);
    }

    public Process Start()
    {
        var start = new ProcessStartInfo(_host, ["exec", _program, WorkerProgram.TransformVerb, MemoryLimit.ToString(CultureInfo.InvariantCulture)])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetDirectoryName(_program),
        };
        var environment = start.Environment;
        foreach (var name in environment.Keys.Where(n => !Inherited.Contains(n, StringComparer.Ordinal)).ToList())
            environment.Remove(name);
        Configure(environment, MemoryLimit);
        return Process.Start(start) ?? throw new InvalidOperationException($"'{_host}' could not be started.");
    }

    /// <summary>How the runtime and the C library of a child spend memory.</summary>
    /// <param name="environment">The child's variables.</param>
    /// <param name="memoryLimit">The most private memory that it may have, in bytes.</param>
    public static void Configure(IDictionary<string, string?> environment, long memoryLimit)
    {
        // Its heap stays well below the limit, so that native code finds room and garbage is collected before memory ends.
        environment["DOTNET_GCHeapHardLimit"] = (memoryLimit / 4 * 3).ToString("x", CultureInfo.InvariantCulture);
        environment["DOTNET_gcConcurrent"] = "0";
        // Memory goes back as soon as it is free, so that the peak is what the work needs at once and not how long it takes: a young generation of 2 MiB, a heap that is compacted rather
        // than grown, one arena of the C library that is trimmed, and loops compiled once instead of again while they run. Numbers without 0x are hexadecimal to the runtime.
        environment["DOTNET_GCgen0size"] = "200000";
        environment["DOTNET_GCgen0MaxBudget"] = "200000";
        environment["DOTNET_GCConserveMemory"] = "9";
        environment["DOTNET_TC_QuickJitForLoops"] = "0";
        environment["MALLOC_ARENA_MAX"] = "1";
        environment["MALLOC_TRIM_THRESHOLD_"] = "131072";
        environment["DOTNET_TieredPGO"] = "0";
        environment["DOTNET_EnableDiagnostics"] = "0";
    }
}
