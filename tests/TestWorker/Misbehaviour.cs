namespace TinyMLaaS.TestWorker;

/// <summary>How <c>tests/misbehave</c> ends.</summary>
public enum Misbehaviour
{
    /// <summary>Well: it copies its input.</summary>
    Copy,

    /// <summary>It tells its process, work folder, current and temporary folder, and copies its input.</summary>
    Tell,

    /// <summary>Native code writes to address 0.</summary>
    WriteToZero,

    /// <summary>Native code aborts.</summary>
    Abort,

    /// <summary>The runtime is told to fail at once, with a path in the message.</summary>
    FailFast,

    /// <summary>It calls itself without end.</summary>
    Recurse,

    /// <summary>The process exits with code 3.</summary>
    Exit,

    /// <summary>It is killed from outside, as by a system out of memory.</summary>
    Kill,

    /// <summary>Native code takes memory until there is none.</summary>
    NativeMemory,

    /// <summary>Managed code takes memory until there is none.</summary>
    ManagedMemory,

    /// <summary>It tells its process and then never returns from native code.</summary>
    Hang,

    /// <summary>Native code writes to standard output, megabytes go to standard error, and it copies its input.</summary>
    Chatter,

    /// <summary>It throws what nobody expects, with a path in the message.</summary>
    Throw,

    /// <summary>It rejects its input, with a path in the message.</summary>
    Reject,

    /// <summary>It reports numbers that no message can carry, and copies its input.</summary>
    NotANumber,

    /// <summary>It writes an output that the worker's check refuses.</summary>
    BadOutput,
}
