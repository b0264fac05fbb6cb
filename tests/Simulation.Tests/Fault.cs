namespace TinyMLaaS.Simulation.Tests;

/// <summary>What is done to the system; every kind must have happened over the seeds of a test run.</summary>
internal enum Fault
{
    /// <summary>A message never arrives.</summary>
    MessageDropped,

    /// <summary>A message arrives twice.</summary>
    MessageRepeated,

    /// <summary>A message takes longer than a lease.</summary>
    MessageDelayed,

    /// <summary>A message is overtaken by a later one to the same run.</summary>
    MessageOvertaken,

    /// <summary>Everything that is on its way is gone.</summary>
    BrokerWiped,

    /// <summary>The orchestrator dies while it handles nothing.</summary>
    OrchestratorKilled,

    /// <summary>It dies with its decision made and not committed.</summary>
    OrchestratorKilledBeforeCommit,

    /// <summary>It dies with its decision committed and nothing of it told.</summary>
    OrchestratorKilledBeforeTelling,

    /// <summary>It dies with a part of what it decided told.</summary>
    OrchestratorKilledWhileTelling,

    /// <summary>It dies with all told and the message not acknowledged, which comes again.</summary>
    OrchestratorKilledBeforeAcknowledging,

    /// <summary>A worker dies with what runs on it.</summary>
    WorkerKilled,

    /// <summary>A worker stands still, and goes on later as if nothing had been.</summary>
    WorkerStalled,

    /// <summary>A worker leaves in order.</summary>
    WorkerLeft,

    /// <summary>The heart of an attempt stops and its work goes on.</summary>
    HeartStopped,

    /// <summary>An attempt takes longer than a lease.</summary>
    AttemptSlow,

    /// <summary>A worker tells the end of an attempt that it must take for lost.</summary>
    EndToldTooLate,

    /// <summary>An attempt fails for a reason that may pass.</summary>
    AttemptFailed,

    /// <summary>An attempt finds the user's model or options wrong.</summary>
    AttemptRejected,

    /// <summary>A step waits too long for a worker.</summary>
    QueueTimedOut,

    /// <summary>An attempt runs too long.</summary>
    AttemptTimedOut,

    /// <summary>A run takes too long.</summary>
    RunTimedOut,

    /// <summary>A run is submitted again.</summary>
    RunResubmitted,

    /// <summary>The end of a run is asked for.</summary>
    RunCancelled,

    /// <summary>A run that has failed or was cancelled is to go on.</summary>
    RunResumed,
}
