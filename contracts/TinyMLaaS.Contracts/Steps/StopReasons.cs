namespace TinyMLaaS.Contracts.Steps;

/// <summary>Why a worker is told to stop an attempt.</summary>
public static class StopReasons
{
    /// <summary>The run's owner asked for its end, or the run has failed elsewhere: report that it stopped.</summary>
    public const string Cancelled = "cancelled";

    /// <summary>The attempt's time is over, and the orchestrator has ended it: report nothing.</summary>
    public const string Timeout = "attempt-timeout";
}
