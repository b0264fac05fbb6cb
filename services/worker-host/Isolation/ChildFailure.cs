using System.Globalization;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>What the end of a child without a result means for its attempt.</summary>
internal static class ChildFailure
{
    // A process ended by a signal has this much more as its exit code.
    private const int SignalBase = 128;

    // What a runtime or a C++ library writes before it gives up for want of memory.
    private static readonly string[] OutOfMemory = ["bad_alloc", "out of memory", "OutOfMemoryException", "Cannot allocate memory", "Failed to allocate"];

    /// <summary>More memory was wanted than an attempt may have. Another try would want as much, so there is none.</summary>
    public static Failure MemoryExceeded(string uses, long limit) => new()
    {
        Code = "memory-exceeded",
        Message = string.Create(CultureInfo.InvariantCulture,
            $"{uses} needs more memory than the {limit >> 20} MiB that an attempt may take on this worker. Use a smaller network or smaller samples, or have its operator raise Worker:MemoryLimitMiB."),
        Retryable = false,
    };

    /// <param name="uses">The transformer.</param>
    /// <param name="exitCode">The exit code of the child.</param>
    /// <param name="errors">What it wrote to standard error.</param>
    /// <param name="limit">Its memory limit, in bytes.</param>
    public static Failure OfExit(string uses, int exitCode, string errors, long limit) =>
        OutOfMemory.Any(words => errors.Contains(words, StringComparison.OrdinalIgnoreCase)) ? MemoryExceeded(uses, limit) : new Failure
        {
            Code = "worker-crashed",
            Message = string.Create(CultureInfo.InvariantCulture,
                $"{uses} crashed: its process ended {(exitCode > SignalBase ? $"by signal {Name(exitCode - SignalBase)}" : $"with exit code {exitCode}")} and without a result. Nothing else on the worker was harmed; the log of the attempt has what the process wrote."),
            Retryable = true,
        };

    private static string Name(int signal) => signal switch
    {
        4 => "4 (SIGILL: illegal instruction)",
        6 => "6 (SIGABRT: aborted)",
        7 => "7 (SIGBUS: bus error)",
        8 => "8 (SIGFPE: arithmetic error)",
        9 => "9 (SIGKILL: killed, as the system does when the machine's memory ends)",
        11 => "11 (SIGSEGV: invalid memory access)",
        _ => signal.ToString(CultureInfo.InvariantCulture),
    };
}
