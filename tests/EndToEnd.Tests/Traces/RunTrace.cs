using System.Diagnostics;
using System.Text.RegularExpressions;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.EndToEnd.Tests.Traces;

/// <summary>
/// What one run did between the services, without what differs from run to run: ids, digests, times, heartbeats and the number of polls.
/// The run is one trace, and an attempt a span of it. A link leads from there to the offer, which is a trace with the claim.
/// </summary>
internal static partial class RunTrace
{
    private const string OfferQueue = "v1.offer.any.";

    /// <summary>The sections of the trace, each a heading and indented lines: the client, then every attempt in the order of the run.</summary>
    public static IReadOnlyList<string> Describe(IReadOnlyList<Activity> activities, RunResource run, Uri server)
    {
        var names = Names(run);
        var attempts = Attempts(activities);
        var answered = activities.Where(a => a.Kind == ActivityKind.Server).Select(a => a.ParentSpanId).ToHashSet();
        var lines = new List<string> { "client" };
        foreach (var request in activities.Where(a => a is { Kind: ActivityKind.Client } && a.ParentSpanId == default && Url(a)?.Port == server.Port))
        {
            var line = $"  {Request(request, names)} at pipeline-api{Answer(request, answered)}";
            var behind = activities.Where(a => IsRequest(a) && a.TraceId == request.TraceId && a != request && !attempts.ContainsKey(a.SpanId)).Select(a => $"{Request(a, names)} at {ServiceOf(a)}{Answer(a, answered)}").Distinct().ToList();
            // Polls come as often as the machine allows, and the first ones before the orchestrator has the run.
            if (line.StartsWith("  GET /v1/runs/{run}", StringComparison.Ordinal) && behind is not ["GET /v1/runs/{run} at orchestrator: 200"])
                continue;
            line += string.Concat(behind.Select(b => $"\n    {b}"));
            if (!line.Contains("/health/", StringComparison.Ordinal) && !lines.Contains(line))
                lines.Add(line);
        }
        lines.AddRange(activities.Where(a => MessageOf(a) == "SubmitRun").Select(a => $"  {ConsumerOf(a)} takes SubmitRun"));
        foreach (var (heading, attempt) in activities.GroupBy(a => attempts.TryGetValue(a.SpanId, out var offer) ? offer : a.TraceId).Where(t => t.Any(IsOfferTaken)).Select(t => (Heading(t, run, names), Attempt(t, names, answered))).OrderBy(t => t.Item1, StringComparer.Ordinal))
        {
            lines.Add(heading);
            lines.AddRange(attempt.Select(l => "  " + l));
        }
        return [.. lines.SelectMany(l => l.Split('\n'))];
    }

    /// <summary>What happened below the span of an attempt, and the trace of the offer that it came from.</summary>
    private static Dictionary<ActivitySpanId, ActivityTraceId> Attempts(IReadOnlyList<Activity> activities)
    {
        var offers = activities.Where(a => a.Source.Name == Telemetry.Name).ToDictionary(a => a.SpanId, a => a.Links.Single().Context.TraceId);
        var parents = activities.ToDictionary(a => a.SpanId, a => a.ParentSpanId);
        foreach (var activity in activities)
        {
            var above = activity.SpanId;
            while (!offers.ContainsKey(above) && parents.TryGetValue(above, out var parent))
                above = parent;
            if (offers.TryGetValue(above, out var offer))
                offers[activity.SpanId] = offer;
        }
        return offers;
    }

    private static IEnumerable<string> Attempt(IEnumerable<Activity> trace, IReadOnlyDictionary<string, string> names, HashSet<ActivitySpanId> answered)
    {
        foreach (var activity in trace)
        {
            // Replies are left out: whoever asked hears them beside what they set off, in no fixed order.
            if (MessageOf(activity) is { } message && message != "Heartbeat" && ConsumerOf(activity) is { } consumer)
                yield return $"{consumer} takes {message}";
            else if (IsRequest(activity))
                yield return $"{Request(activity, names)} at {ServiceOf(activity)}{Answer(activity, answered)}";
        }
    }

    // The first file that a worker fetches is its input. A measurement and the next step have the same one, but only the former fetches the data that is measured on.
    private static string Heading(IEnumerable<Activity> trace, RunResource run, IReadOnlyDictionary<string, string> names)
    {
        var fetched = trace.Where(a => IsRequest(a) && Method(a) == "GET").Select(a => Request(a, names)).ToList();
        var step = run.Steps.FirstOrDefault(s => fetched[0] == $"GET /v1/artifacts/{{{names[InputOf(run, s.Step)]}}}")?.Step ?? run.Steps.Count + 1;
        var measured = fetched.Any(f => f.Contains($"dataset {run.Pipeline.Evaluate?.Dataset}", StringComparison.Ordinal));
        return measured ? $"{step - 1} measured" : $"{step} {run.Steps[step - 1].Uses}";
    }

    private static string InputOf(RunResource run, int step) => step == 1 ? run.Model.Digest : run.Steps[step - 2].Outputs[0].Digest;

    private static Dictionary<string, string> Names(RunResource run)
    {
        var names = new Dictionary<string, string> { [run.Model.Digest] = "model", [run.Id.ToString()] = "run" };
        foreach (var dataset in run.Datasets)
            names[dataset.Artifact!.Digest] = $"dataset {dataset.Name}";
        foreach (var step in run.Steps)
        {
            names[step.Outputs[0].Digest] = $"output {step.Step}";
            names[step.Report!.Digest] = $"report {step.Step}";
        }
        // Two networks that measure alike have the same report.
        foreach (var evaluation in run.Evaluations)
            names.TryAdd(evaluation.Work.Report!.Digest, "measurement");
        return names;
    }

    private static bool IsOfferTaken(Activity activity) => MessageOf(activity) == "StepOffer" && activity.DisplayName.StartsWith(OfferQueue, StringComparison.Ordinal);

    // The message that a consumer of ours works on; null for everything else.
    private static string? MessageOf(Activity activity) =>
        activity.Source.Name == "MassTransit" && activity.DisplayName.EndsWith(" process", StringComparison.Ordinal) && activity.GetTagItem("messaging.masstransit.consumer_type") is not null
            ? activity.GetTagItem("messaging.masstransit.message_types")?.ToString()?.Split(';')[0].Split(':')[^1]
            : null;

    private static string? ConsumerOf(Activity activity) => activity.GetTagItem("messaging.masstransit.saga_id") is not null
        ? "the saga"
        : activity.DisplayName.StartsWith(OfferQueue, StringComparison.Ordinal) ? activity.DisplayName[OfferQueue.Length..].Split(' ')[0] : null;

    // What goes into an outbox is a client's activity too, but no request.
    private static bool IsRequest(Activity activity) => activity.Kind == ActivityKind.Client && Url(activity) is not null;

    private static string Request(Activity activity, IReadOnlyDictionary<string, string> names)
    {
        var path = Uri.UnescapeDataString(Url(activity)!.AbsolutePath);
        return $"{Method(activity)} {Id().Replace(path, id => names.TryGetValue(id.Value, out var name) ? $"{{{name}}}" : "{?}")}";
    }

    // A request that no server of this process began to answer went nowhere.
    private static string Answer(Activity activity, HashSet<ActivitySpanId> answered) =>
        !answered.Contains(activity.SpanId) ? ": nobody answers"
        // Whether the store had the bytes already says nothing about the run: equal measurements have equal reports.
        : activity.GetTagItem("http.response.status_code")?.ToString() is var status && Method(activity) == "POST" && status is "200" or "201" ? ": stored" : $": {status}";

    private static string ServiceOf(Activity activity) => Url(activity)!.AbsolutePath.StartsWith("/v1/artifacts", StringComparison.Ordinal) ? "artifact-store" : "orchestrator";

    private static string? Method(Activity activity) => activity.GetTagItem("http.request.method")?.ToString();

    private static Uri? Url(Activity activity) => activity.GetTagItem("url.full") is string url ? new Uri(url) : null;

    [GeneratedRegex("sha256:[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")]
    private static partial Regex Id();
}
