using System.Globalization;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.TestWorker.NoOp;

namespace TinyMLaaS.Benchmarks.Orchestration;

/// <summary>
/// What the control plane costs: runs of three steps that do nothing, with artifacts of 1 kB and without the cache, through the services as processes over
/// RabbitMQ and PostgreSQL and through standalone; beside what that PostgreSQL, that RabbitMQ and SQLite can do at most, measured in the same run.
/// </summary>
internal static class OrchestrationBenchmark
{
    private const int Steps = 3;
    private const int WarmUpRuns = 1000;
    private const int Submitters = 8;
    private const double SteadyRunsPerSecond = 5;
    private const int SteadyRuns = 100;
    private const int Cancellations = 20;
    private const int Kills = 3;

    // On two quiet cores.
    private const double DurableLimit = 100;
    private const double EmbeddedLimit = 250;
    private const double GapLimit = 40;

    /// <summary>Measures; each line for a person is told as soon as it is known.</summary>
    /// <param name="options">What.</param>
    /// <param name="line">Told lines of at most 80 characters.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static async Task<JsonObject> RunAsync(OrchestrationOptions options, Action<string> line, CancellationToken cancellation)
    {
        var folder = Directory.CreateTempSubdirectory("tinyml-bench-").FullName;
        try
        {
            var figures = new JsonObject { ["cores"] = Environment.ProcessorCount, ["stepsPerRun"] = Steps, ["runs"] = options.Runs, ["slots"] = options.Slots };
            var within = true;
            if (options.Parts.Contains("durable"))
                within &= await DurableAsync(figures, options, line, cancellation);
            if (options.Parts.Contains("embedded"))
                within &= await EmbeddedAsync(figures, folder, options, line, cancellation);
            figures["withinLimits"] = within;
            return figures;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<bool> DurableAsync(JsonObject figures, OrchestrationOptions options, Action<string> line, CancellationToken cancellation)
    {
        var (starting, broking) = (PostgresServer.StartAsync(options.CountsStatements ? ["shared_preload_libraries=pg_stat_statements"] : []), RabbitMqServer.StartAsync());
        await using var database = await starting;
        await using var broker = await broking;
        line($"durable: five processes, RabbitMQ {await broker.VersionAsync()}, PostgreSQL {(await database.VersionAsync()).Split(' ')[0]}, {options.Slots} slots");
        var raw = new JsonObject
        {
            ["commitsPerSecond1"] = Math.Round(await RawLimits.PostgresCommitsAsync(database.ConnectionString("postgres"), 1)),
            ["commitsPerSecond16"] = Math.Round(await RawLimits.PostgresCommitsAsync(database.ConnectionString("postgres"), 16)),
            ["confirmedPublishesPerSecond1"] = Math.Round(await RawLimits.ConfirmedPublishesAsync(broker.Address("%2F"), 1, 1)),
            ["confirmedPublishesPerSecond4x64"] = Math.Round(await RawLimits.ConfirmedPublishesAsync(broker.Address("%2F"), 4, 64)),
        };
        figures["rawDurable"] = raw;
        line($"  raw: commits/s, 1 and 16 connections {raw["commitsPerSecond1"],14} {raw["commitsPerSecond16"],10}");
        line($"  raw: confirmed publishes/s, one by one, and 4 x 64 at once {raw["confirmedPublishesPerSecond1"],8} {raw["confirmedPublishesPerSecond4x64"],8}");
        await using var installation = await DurableInstallation.StartAsync(database, broker, options.Slots);
        if (options.CountsStatements)
            await installation.CountStatementsAsync();
        var durable = await MeasureAsync(installation, options, line, cancellation, options.CountsStatements ? installation.StatementsAsync : null);
        figures["durable"] = durable;
        return IsWithin(durable, DurableLimit);
    }

    private static async Task<bool> EmbeddedAsync(JsonObject figures, string folder, OrchestrationOptions options, Action<string> line, CancellationToken cancellation)
    {
        line($"embedded: one process, SQLite, in-memory transport, {options.Slots} slots");
        var raw = new JsonObject { ["commitsPerSecond"] = Math.Round(await RawLimits.SqliteCommitsAsync(folder)) };
        figures["rawEmbedded"] = raw;
        line($"  raw: commits/s, 1 connection {raw["commitsPerSecond"],22}");
        await using var installation = await EmbeddedInstallation.StartAsync(folder, options.Slots);
        var embedded = await MeasureAsync(installation, options, line, cancellation);
        figures["embedded"] = embedded;
        return IsWithin(embedded, EmbeddedLimit);
    }

    private static bool IsWithin(JsonObject measured, double stepsPerSecond) =>
        measured["burst"]!["stepsPerSecond"]!.GetValue<double>() >= stepsPerSecond && measured["steady"]!["stepGap"]!["p50Ms"]!.GetValue<double>() <= GapLimit;

    private static async Task<JsonObject> MeasureAsync(
        Installation installation, OrchestrationOptions options, Action<string> line, CancellationToken cancellation, Func<Task<IReadOnlyList<(long Calls, double Seconds, string Text)>>>? statements = null)
    {
        using var client = new Client(installation.Url);
        await client.ReadyAsync(cancellation);
        await BurstAsync(installation, client, WarmUpRuns, cancellation);
        var before = statements is null ? [] : await statements();
        var measured = new JsonObject { ["burst"] = await BurstAsync(installation, client, options.Runs, cancellation) };
        Tell("burst", measured["burst"]!, line);
        if (statements is not null)
            TellStatements(before, await statements(), options.Runs * Steps, line);
        measured["steady"] = await SteadyAsync(client, cancellation);
        Tell("steady", measured["steady"]!, line);
        measured["cancel"] = (await CancelAsync(client, cancellation)).Json;
        line(Row("cancel: request until the run has ended", measured["cancel"]!));
        if (await RedispatchAsync(installation, client, cancellation) is { } redispatch)
        {
            measured["redispatch"] = redispatch.Json;
            line(Row("worker killed until its step starts again", measured["redispatch"]!));
        }
        return measured;
    }

    /// <summary>All runs as fast as they are accepted; ended when the last step of the last run is committed.</summary>
    private static async Task<JsonObject> BurstAsync(Installation installation, Client client, int count, CancellationToken cancellation)
    {
        var models = new List<string>();
        for (var i = 0; i < count; i++)
            models.Add(await client.UploadAsync(cancellation));
        var commits = await installation.CommitsAsync();
        var times = new ProcessTimes(installation.Processes);
        var began = TimeProvider.System.GetUtcNow();
        var accepted = new (Guid Run, double Milliseconds)[count];
        await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = Submitters, CancellationToken = cancellation }, async (i, stop) =>
            accepted[i] = await client.SubmitAsync(models[i], Enumerable.Repeat("noop/copy", Steps), stop));
        // Asking after every run would be work for the services too; the last one is nearly the last to end.
        await client.EndedAsync(accepted[^1].Run, cancellation);
        var spent = times.Spent();
        var committed = await installation.CommitsAsync() - commits;
        var runs = await EndedAsync(client, accepted, cancellation);
        var ended = runs.Max(r => r.EndedAt!.Value);
        var result = Of(accepted, runs);
        result["stepsPerSecond"] = Math.Round(count * Steps / (ended - began).TotalSeconds, 1);
        result["processorMsPerStep"] = new JsonObject([.. spent.Select(s => KeyValuePair.Create(s.Key, (JsonNode?)Math.Round(s.Value * 1000 / (count * Steps), 2)))]);
        if (committed is not null)
            result["commitsPerStep"] = Math.Round(committed.Value / (double)(count * Steps), 2);
        return result;
    }

    /// <summary>Runs at a rate that leaves the machine mostly idle: what is measured is latency.</summary>
    private static async Task<JsonObject> SteadyAsync(Client client, CancellationToken cancellation)
    {
        var models = new List<string>();
        for (var i = 0; i < SteadyRuns; i++)
            models.Add(await client.UploadAsync(cancellation));
        var submitted = new List<Task<(Guid, double)>>();
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1 / SteadyRunsPerSecond));
        foreach (var model in models)
        {
            await timer.WaitForNextTickAsync(cancellation);
            submitted.Add(client.SubmitAsync(model, Enumerable.Repeat("noop/copy", Steps), cancellation));
        }
        var accepted = await Task.WhenAll(submitted);
        var result = Of(accepted, await EndedAsync(client, accepted, cancellation));
        result["runsPerSecond"] = SteadyRunsPerSecond;
        return result;
    }

    private static async Task<Sample> CancelAsync(Client client, CancellationToken cancellation)
    {
        var milliseconds = new List<double>();
        for (var i = 0; i < Cancellations; i++)
        {
            var run = await WaitingRunAsync(client, cancellation);
            var asked = TimeProvider.System.GetUtcNow();
            await client.CancelAsync(run.Id, cancellation);
            var ended = await client.EndedAsync(run.Id, cancellation);
            milliseconds.Add((ended.EndedAt!.Value - asked).TotalMilliseconds);
        }
        return new Sample(milliseconds);
    }

    private static async Task<Sample?> RedispatchAsync(Installation installation, Client client, CancellationToken cancellation)
    {
        var milliseconds = new List<double>();
        for (var i = 0; i < Kills; i++)
        {
            var run = await WaitingRunAsync(client, cancellation);
            var process = int.Parse(run.Steps[0].Activity!.Split(' ')[1], CultureInfo.InvariantCulture);
            var killed = TimeProvider.System.GetUtcNow();
            if (!await installation.KillWorkerAsync(process))
            {
                await client.CancelAsync(run.Id, cancellation);
                return null;
            }
            var again = await client.UntilAsync(run.Id, r => r.Steps[0].Attempts.Any(a => a.Attempt > 1 && a.StartedAt is not null), cancellation);
            milliseconds.Add((again.Steps[0].Attempts.First(a => a.Attempt > 1 && a.StartedAt is not null).StartedAt!.Value - killed).TotalMilliseconds);
            await client.CancelAsync(run.Id, cancellation);
            await client.EndedAsync(run.Id, cancellation);
            await installation.RestartWorkerAsync();
        }
        return new Sample(milliseconds);
    }

    /// <summary>A run whose only step waits in a worker to be stopped, and has said so.</summary>
    private static async Task<RunResource> WaitingRunAsync(Client client, CancellationToken cancellation)
    {
        var (run, _) = await client.SubmitAsync(await client.UploadAsync(cancellation), ["noop/wait"], cancellation);
        return await client.UntilAsync(run, r => r.Steps[0].Activity is not null, cancellation);
    }

    private static async Task<IReadOnlyList<RunResource>> EndedAsync(Client client, IReadOnlyList<(Guid Run, double Milliseconds)> accepted, CancellationToken cancellation)
    {
        var runs = new List<RunResource>();
        foreach (var (run, _) in accepted)
        {
            var ended = await client.EndedAsync(run, cancellation);
            runs.Add(ended.State == RunStates.Succeeded ? ended : throw new InvalidOperationException($"Run {run} ended {ended.State}: {ended.Failure}"));
        }
        return runs;
    }

    private static JsonObject Of(IReadOnlyList<(Guid Run, double Milliseconds)> accepted, IReadOnlyList<RunResource> runs) => new()
    {
        ["accept"] = new Sample(accepted.Select(a => a.Milliseconds)).Json,
        ["stepGap"] = new Sample(runs.SelectMany(r => r.Steps.Zip(r.Steps.Skip(1), (one, next) => (next.Metrics[Copy.Began] - one.Metrics[Copy.Ended]) / 1000))).Json,
        ["run"] = new Sample(runs.Select(r => (r.EndedAt!.Value - r.AcceptedAt).TotalMilliseconds)).Json,
        ["attemptsPerStep"] = Math.Round(runs.Average(r => r.Steps.Average(s => s.Attempts.Count)), 3),
    };

    private static void Tell(string load, JsonNode measured, Action<string> line)
    {
        if (measured["stepsPerSecond"] is { } rate)
            line($"  {load}: steps/s{"",-29} {rate.GetValue<double>(),8:F1}");
        line(Row($"{load}: run accepted", measured["accept"]!));
        line(Row($"{load}: step gap", measured["stepGap"]!));
        line(Row($"{load}: run from accepted to ended", measured["run"]!));
        if (measured["processorMsPerStep"] is not JsonObject processor)
            return;
        line($"  {load}: processor ms a step {processor.Sum(p => p.Value!.GetValue<double>()),26:F2}");
        foreach (var (name, value) in processor)
            line($"    {name,-14} {value!.GetValue<double>(),34:F2}");
        if (measured["commitsPerStep"] is { } commits)
            line($"  {load}: commits of the database a step {commits.GetValue<double>(),14:F2}");
    }

    private static void TellStatements(IReadOnlyList<(long Calls, double Seconds, string Text)> before, IReadOnlyList<(long Calls, double Seconds, string Text)> after, int steps, Action<string> line)
    {
        var known = before.ToDictionary(s => s.Text, s => s);
        foreach (var (calls, seconds, text) in after)
        {
            var (callsBefore, secondsBefore, _) = known.GetValueOrDefault(text);
            var words = string.Join(' ', text.Split((char[])[' ', '\n', '\r', '\t'], StringSplitOptions.RemoveEmptyEntries));
            line($"    {(calls - callsBefore) / (double)steps,6:F2} a step {(seconds - secondsBefore) * 1000 / steps,6:F2} ms {(words.Length > 48 ? words[..48] : words)}");
        }
    }

    private static string Row(string what, JsonNode sample) =>
        $"  {what,-42} {sample["p50Ms"]!.GetValue<double>(),10:F1} {sample["p99Ms"]!.GetValue<double>(),10:F1} ms";
}
