using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Orchestrator.Telemetry;
using TinyMLaaS.Persistence.Outbox;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>Metrics are of a process: two orchestrators in one would be counted together.</summary>
[CollectionDefinition(nameof(OneOrchestrator), DisableParallelization = true)]
public sealed class OneOrchestrator;

/// <summary>What a Prometheus reads at /metrics is what happened.</summary>
[Collection(nameof(OneOrchestrator))]
public sealed class MetricsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Runs_attempts_waits_and_lengths_are_counted_once_each()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        await host.SubmitAsync(Runs.Of("compiler/fuse"));
        var first = await host.OfferAsync();
        host.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(first));
        // The same again changes nothing, and counts nothing.
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(first));
        host.Time.Advance(TimeSpan.FromSeconds(3));
        await host.FailAsync(first, retryable: true);
        var second = await host.OfferAsync();
        await host.ClaimAsync(second);
        host.Time.Advance(TimeSpan.FromSeconds(4));
        await host.CompleteAsync(second);
        await host.CompleteAsync(second);

        await OrchestratorHost.UntilAsync(async () => Value(await ReadAsync(host), "tinymlaas_runs_ended_total", "outcome=\"succeeded\"") == 1);
        var metrics = await ReadAsync(host);
        Assert.Equal(1, Value(metrics, "tinymlaas_runs_accepted_total"));
        Assert.Equal(1, Value(metrics, "tinymlaas_run_duration_seconds_count", "outcome=\"succeeded\""));
        Assert.Equal(9, Value(metrics, "tinymlaas_run_duration_seconds_sum"), 1e-6);
        Assert.Equal(1, Value(metrics, "tinymlaas_attempts_total", "outcome=\"failed\"", "pool=\"compiler\""));
        Assert.Equal(1, Value(metrics, "tinymlaas_attempts_total", "outcome=\"succeeded\"", "pool=\"compiler\""));
        Assert.Equal((2, 2d), (Value(metrics, "tinymlaas_step_queue_wait_seconds_count", "pool=\"compiler\""), Value(metrics, "tinymlaas_step_queue_wait_seconds_sum", "pool=\"compiler\"")));
        Assert.Equal(3, Value(metrics, "tinymlaas_step_duration_seconds_sum", "outcome=\"failed\"", "transformer=\"compiler/fuse\""), 1e-6);
        Assert.Equal(4, Value(metrics, "tinymlaas_step_duration_seconds_sum", "outcome=\"succeeded\"", "transformer=\"compiler/fuse\""), 1e-6);
        Assert.Equal(0, Value(metrics, "tinymlaas_leases_expired_total", "pool=\"compiler\""));
    }

    [Fact]
    public async Task A_lease_that_ran_out_is_counted_with_its_code()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        await host.SubmitAsync(Runs.Of("compiler/fuse"));
        await host.ClaimAsync(await host.OfferAsync());
        host.Time.Advance(TimeSpan.FromMinutes(5));
        await host.SweepAsync();

        await OrchestratorHost.UntilAsync(async () => Find(await ReadAsync(host), "tinymlaas_leases_expired_total", "pool=\"compiler\"", "code=\"heartbeat-timeout\"") == 1);
        Assert.Equal(1, Value(await ReadAsync(host), "tinymlaas_attempts_total", "outcome=\"lost\""));
    }

    [Fact]
    public async Task What_waits_is_shown_with_its_reason_and_what_is_busy()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        foreach (var uses in (string[])["compiler/fuse", "compiler/fuse", "compiler/fuse", "installer/bundle", "compiler/other"])
            await host.SubmitAsync(Runs.Of(uses));
        await host.OfferAsync();

        await host.Services.GetRequiredService<QueueGauges>().ReadAsync(TestContext.Current.CancellationToken);

        var metrics = await ReadAsync(host);
        Assert.Equal(2, Value(metrics, "tinymlaas_steps_pending", "pool=\"compiler\"", "reason=\"slots-busy\""));
        Assert.Equal(1, Value(metrics, "tinymlaas_steps_pending", "pool=\"installer\"", "reason=\"no-worker\""));
        Assert.Equal(1, Value(metrics, "tinymlaas_steps_pending", "pool=\"compiler\"", "reason=\"no-version\""));
        Assert.Equal((1, 1), (Value(metrics, "tinymlaas_slots_busy", "pool=\"compiler\""), Value(metrics, "tinymlaas_slots", "pool=\"compiler\"")));
    }

    [Fact]
    public async Task The_age_of_the_oldest_message_of_the_outbox_is_shown()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var gauges = host.Services.GetRequiredService<OutboxGauges<OrchestratorDbContext>>();
        await gauges.ReadAsync(TestContext.Current.CancellationToken);
        Assert.Equal((0, 0d), (Value(await ReadAsync(host), "tinymlaas_outbox_messages"), Value(await ReadAsync(host), "tinymlaas_outbox_age_seconds")));
        await using (var scope = host.Services.CreateAsyncScope())
        {
            var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
            var now = host.Time.GetUtcNow();
            database.Add(new OutboxMessage
            {
                MessageId = Guid.NewGuid(), Position = 0, DueAt = now.AddDays(1), SentAt = now.AddSeconds(-30), Destination = "exchange:nowhere", ContentType = "application/json", MessageType = "none", Body = "{}",
            });
            await database.SaveChangesAsync(TestContext.Current.CancellationToken);
        }

        await gauges.ReadAsync(TestContext.Current.CancellationToken);
        host.Time.Advance(TimeSpan.FromSeconds(12));

        // An answer is given again for 300 ms.
        await OrchestratorHost.UntilAsync(async () => Value(await ReadAsync(host), "tinymlaas_outbox_messages") == 1);
        var metrics = await ReadAsync(host);
        Assert.Equal(42, Value(metrics, "tinymlaas_outbox_age_seconds"), 1e-6);
    }

    private static Task<string> ReadAsync(OrchestratorHost host) => host.Http.GetStringAsync("metrics", TestContext.Current.CancellationToken);

    private static double Value(string metrics, string name, params string[] labels)
    {
        var value = Find(metrics, name, labels);
        Assert.True(value is not null, $"no {name} with {string.Join(", ", labels)} in {metrics}");
        return value.Value;
    }

    /// <summary>The value of the one series of a metric that has these labels.</summary>
    private static double? Find(string metrics, string name, params string[] labels)
    {
        var series = metrics.Split('\n').Where(l => Regex.IsMatch(l, $@"^{name}(\{{|\s)") && labels.All(l.Contains)).ToArray();
        Assert.True(series.Length <= 1, string.Join('\n', series));
        return series is [var line] ? double.Parse(Regex.Match(line, @"(?:\}|^\w+)\s+(\S+)").Groups[1].Value, CultureInfo.InvariantCulture) : null;
    }
}
