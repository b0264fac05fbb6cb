using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace TinyMLaaS.Orchestrator;

/// <summary>Section <c>Orchestrator</c>.</summary>
internal sealed class OrchestratorOptions
{
    public const string Section = "Orchestrator";

    private const int MostSeconds = 365 * 24 * 3600;

    /// <summary>A step may wait this long for a worker, each time that it does.</summary>
    [Range(1, MostSeconds)]
    public double QueueTimeoutSeconds { get; set; } = 24 * 3600;

    /// <summary>One attempt at a step may run this long.</summary>
    [Range(1, MostSeconds)]
    public double AttemptTimeoutSeconds { get; set; } = 24 * 3600;

    /// <summary>A whole run may take this long, from its acceptance or its last resumption.</summary>
    [Range(1, MostSeconds)]
    public double TotalTimeoutSeconds { get; set; } = 7 * 24 * 3600;

    /// <summary>A lease lasts this long from the claim and from each heartbeat.</summary>
    [Range(1, 3600)]
    public double LeaseSeconds { get; set; } = 60;

    /// <summary>How often workers send a heartbeat; a third of the lease unless set.</summary>
    [Range(0.1, 1800)]
    public double? HeartbeatSeconds { get; set; }

    /// <summary>An offer that nobody claims is withdrawn after this.</summary>
    [Range(0.1, 600)]
    public double OfferSeconds { get; set; } = 5;

    /// <summary>Attempts at a step that fail or get lost before the step fails.</summary>
    [Range(1, 100)]
    public int MaxAttempts { get; set; } = 3;

    /// <summary>
    /// Times that the process may die while a step runs before the step fails. One death says nothing about the step; a step that takes the
    /// process down each time would do so for ever.
    /// </summary>
    [Range(1, 1000)]
    public int MaxDeaths { get; set; } = 10;

    /// <summary>Pause before the second attempt; doubles with each further one.</summary>
    [Range(0, 3600)]
    public double RetrySeconds { get; set; } = 1;

    /// <summary>The longest pause between attempts, and between offers that nobody claims; a step whose first pause is longer keeps to that.</summary>
    [Range(0, 3600)]
    public double LongestRetrySeconds { get; set; } = 60;

    /// <summary>The part of a pause between attempts that may be left out, so that what failed together is not tried again together.</summary>
    [Range(0, 1)]
    public double RetryJitter { get; set; } = 0.2;

    /// <summary>Codes of failures after which no step is tried again.</summary>
    public string[] NotRetried { get; set; } = [];

    /// <summary>An instance that has not announced itself for this long is gone.</summary>
    [Range(1, 600)]
    public double SilenceSeconds { get; set; } = 15;

    /// <summary>Streams of events and long polls that are served at once; more are told to come back.</summary>
    [Range(1, 10000)]
    public int MaxEventReaders { get; set; } = 200;

    /// <summary>A broker that has lost everything gets the events of so many minutes again: subscribers had not read all of them.</summary>
    [Range(0, 10080)]
    public double RepublishMinutes { get; set; } = 10;

    /// <summary>So long subscribers are given to come back to a broker that has lost everything.</summary>
    [Range(0, 600)]
    public double RepublishAfterSeconds { get; set; } = 15;

    /// <summary>What is kept of the step logs of a tenant's runs, in MiB; beyond that those of the runs that ended first go.</summary>
    [Range(1, 1 << 20)]
    public int LogMiB { get; set; } = 256;

    /// <summary>True where workers live in this process: at a start every attempt of the process before is lost at once.</summary>
    public bool WorkersShareProcess { get; set; }

    public TimeSpan Lease => TimeSpan.FromSeconds(LeaseSeconds);

    public TimeSpan HeartbeatEvery => TimeSpan.FromSeconds(HeartbeatSeconds ?? LeaseSeconds / 3);

    public TimeSpan OfferFor => TimeSpan.FromSeconds(OfferSeconds);

    public TimeSpan Silence => TimeSpan.FromSeconds(SilenceSeconds);
}

internal sealed class OrchestratorOptionsValidation : IValidateOptions<OrchestratorOptions>
{
    public ValidateOptionsResult Validate(string? name, OrchestratorOptions options) =>
        options.HeartbeatEvery * 2 > options.Lease
            ? ValidateOptionsResult.Fail(
                $"Orchestrator:HeartbeatSeconds is {options.HeartbeatEvery.TotalSeconds} with a lease of {options.LeaseSeconds} s: one lost heartbeat would lose the lease. Set it to at most half of Orchestrator:LeaseSeconds.")
            : ValidateOptionsResult.Success;
}
