namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>The states of a run, by name.</summary>
public static class RunStates
{
    /// <summary>Stored; nothing has run yet.</summary>
    public const string Accepted = "accepted";

    /// <summary>An attempt was claimed.</summary>
    public const string Running = "running";

    /// <summary>The owner asked for the end; attempts are being stopped.</summary>
    public const string Cancelling = "cancelling";

    /// <summary>Every step committed. Terminal.</summary>
    public const string Succeeded = "succeeded";

    /// <summary>A step or an evaluation failed for good. Terminal.</summary>
    public const string Failed = "failed";

    /// <summary>Ended by its owner. Terminal.</summary>
    public const string Cancelled = "cancelled";

    /// <summary>True for a state that a run leaves only when it is resumed, and <see cref="Succeeded"/> never.</summary>
    public static bool IsTerminal(string state) => state is Succeeded or Failed or Cancelled;
}
