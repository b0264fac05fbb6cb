using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;

namespace TinyMLaaS.Contracts.Events;

/// <summary>Every kind of event: its name, e.g. <c>step.succeeded</c>, and the contract record that its data is.</summary>
public static class EventTypes
{
    private const string Prefix = "io.tinymlaas.";
    private const string Version = ".v1";

    /// <summary>Contract records by name.</summary>
    public static IReadOnlyDictionary<string, Type> All { get; } = new Dictionary<string, Type>(StringComparer.Ordinal)
    {
        ["run.accepted"] = typeof(RunAccepted),
        ["run.started"] = typeof(RunStarted),
        ["run.succeeded"] = typeof(RunSucceeded),
        ["run.failed"] = typeof(RunFailed),
        ["run.cancelling"] = typeof(RunCancelling),
        ["run.cancelled"] = typeof(RunCancelled),
        ["run.resumed"] = typeof(RunResumed),
        ["step.offered"] = typeof(StepOffered),
        ["step.started"] = typeof(StepStarted),
        ["step.progressed"] = typeof(StepProgressed),
        ["step.succeeded"] = typeof(StepSucceeded),
        ["step.failed"] = typeof(StepFailed),
        ["step.lost"] = typeof(StepLost),
        ["step.cached"] = typeof(StepCached),
        ["artifact.stored"] = typeof(ArtifactStored),
    };

    /// <summary>The CloudEvents type of a name, e.g. <c>io.tinymlaas.step.succeeded.v1</c>.</summary>
    /// <exception cref="ArgumentException">There is no event of that name.</exception>
    public static string TypeOf(string name) =>
        All.ContainsKey(name) ? Prefix + name + Version : throw new ArgumentException($"There is no event '{name}'. Expected one of {string.Join(", ", All.Keys)}.", nameof(name));

    /// <summary>The name of a CloudEvents type, or of a name; null when there is none.</summary>
    public static string? Find(string text)
    {
        var name = text.StartsWith(Prefix, StringComparison.Ordinal) && text.EndsWith(Version, StringComparison.Ordinal) && text.Length > Prefix.Length + Version.Length
            ? text[Prefix.Length..^Version.Length]
            : text;
        return All.ContainsKey(name) ? name : null;
    }
}
