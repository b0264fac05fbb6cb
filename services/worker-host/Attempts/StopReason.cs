namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>Why an attempt stops before its end.</summary>
internal enum StopReason
{
    /// <summary>It does not.</summary>
    None,

    /// <summary>The run's owner asked for it: report that it stopped.</summary>
    Cancelled,

    /// <summary>It has run too long, and the orchestrator has ended it: report nothing.</summary>
    TimedOut,

    /// <summary>Another attempt has taken over: report nothing.</summary>
    Lost,

    /// <summary>The worker ends: report nothing, the announcement says it all.</summary>
    Leaving,
}
