using System.Net;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Time.Testing;
using TinyMLaaS.Contracts;
using TinyMLaaS.PipelineApi.Runs;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.PipelineApi;

public sealed class HandOverTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_run_whose_message_was_lost_with_the_process_is_handed_over_at_the_next_start_once()
    {
        Guid id;
        await using (var dying = await ApiUnderTest.StartAsync(_folder, new FakeOrchestrator { TakesOn = false }))
        {
            id = await AcceptAsync(dying);
        }

        await using var api = await ApiUnderTest.StartAsync(_folder);
        await ApiUnderTest.UntilAsync(() => IsHandedOverAsync(api, id), "the hand-over");

        var submitted = Assert.Single(api.Orchestrator.Submitted);
        Assert.Equal(id, submitted.RunId);
        Assert.Equal("running", (string)(await api.GetAsync($"/v1/runs/{id}"))["state"]!);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_run_that_is_cancelled_before_it_is_taken_on_is_taken_on_as_cancelled(bool withoutOrchestrator)
    {
        Guid id;
        await using (var alone = await ApiUnderTest.StartAsync(_folder, new FakeOrchestrator { TakesOn = false }, without: withoutOrchestrator ? "orchestrator" : null))
        {
            id = await AcceptAsync(alone);

            var answer = await ApiUnderTest.BodyAsync(await alone.PostAsync($"/v1/runs/{id}/cancel", ""), HttpStatusCode.Accepted);

            Assert.Equal("cancelling", (string)answer["state"]!);
            await ApiUnderTest.BodyAsync(await alone.PostAsync($"/v1/runs/{id}/cancel", ""), HttpStatusCode.Accepted);
            if (!withoutOrchestrator)
                Assert.Equal("cancelling", (string)(await alone.GetAsync($"/v1/runs/{id}"))["state"]!);
        }

        await using var api = await ApiUnderTest.StartAsync(_folder);
        await ApiUnderTest.UntilAsync(() => IsHandedOverAsync(api, id), "the hand-over");

        Assert.Contains(api.Orchestrator.Submitted, s => s.RunId == id && s.Cancelled);
        Assert.Equal("cancelled", (string)(await api.GetAsync($"/v1/runs/{id}"))["state"]!);
    }

    [Fact]
    public async Task A_run_that_the_orchestrator_knows_is_not_sent_again()
    {
        await using var api = await ApiUnderTest.StartAsync(_folder);
        var id = await AcceptAsync(api);

        await ApiUnderTest.UntilAsync(() => IsHandedOverAsync(api, id), "the hand-over");

        Assert.Single(api.Orchestrator.Submitted);
    }

    [Fact]
    public async Task A_run_is_accepted_while_the_orchestrator_is_away_and_handed_over_when_it_is_back()
    {
        Guid id;
        await using (var alone = await ApiUnderTest.StartAsync(_folder, without: "orchestrator"))
        {
            id = await AcceptAsync(alone);
            var problem = await ApiUnderTest.ProblemAsync(await alone.Http.GetAsync($"/v1/runs/{id}", ApiUnderTest.Cancellation), HttpStatusCode.ServiceUnavailable, "service-unavailable");
            Assert.Contains("'orchestrator'", problem.Detail, StringComparison.Ordinal);
        }

        await using var api = await ApiUnderTest.StartAsync(_folder);
        await ApiUnderTest.UntilAsync(() => IsHandedOverAsync(api, id), "the hand-over");

        Assert.Single(api.Orchestrator.Submitted);
    }

    [Fact]
    public async Task A_run_that_got_lost_on_its_way_is_sent_again_after_five_seconds()
    {
        var clock = new FakeTimeProvider();
        await using var api = await StartAsync(clock, takesOn: false);
        var id = await AcceptAsync(api);
        var handOver = api.Services.GetRequiredService<HandOver>();
        await ApiUnderTest.UntilAsync(() => Task.FromResult(api.Orchestrator.Submitted.Count == 1), "the submission");

        await handOver.SweepAsync(ApiUnderTest.Cancellation);
        clock.Advance(TimeSpan.FromSeconds(4.9));
        await handOver.SweepAsync(ApiUnderTest.Cancellation);
        clock.Advance(TimeSpan.FromSeconds(0.1));
        await handOver.SweepAsync(ApiUnderTest.Cancellation);

        await ApiUnderTest.UntilAsync(() => Task.FromResult(api.Orchestrator.Submitted.Count >= 2), "the second submission");
        Assert.Equal([id, id], api.Orchestrator.Submitted.Select(s => s.RunId));
        Assert.False(await IsHandedOverAsync(api, id));
    }

    [Fact]
    public async Task A_run_that_another_process_has_seen_through_is_not_remembered_for_ever()
    {
        var clock = new FakeTimeProvider();
        await using var api = await StartAsync(clock, takesOn: false);
        var handOver = api.Services.GetRequiredService<HandOver>();
        handOver.Note(Guid.NewGuid());
        clock.Advance(TimeSpan.FromSeconds(4.9));
        handOver.Note(Guid.NewGuid());

        await handOver.SweepAsync(ApiUnderTest.Cancellation);
        Assert.Equal(2, handOver.Remembered);
        clock.Advance(TimeSpan.FromSeconds(0.1));
        await handOver.SweepAsync(ApiUnderTest.Cancellation);
        Assert.Equal(1, handOver.Remembered);
    }

    [Fact]
    public async Task Every_run_that_waits_is_handed_over_even_when_many_came_at_one_moment()
    {
        await using var api = await StartAsync(new FakeTimeProvider());
        var runs = Enumerable.Range(0, 250).Select(_ => Orchestrator.Runs.Of("compiler/fuse")).ToList();
        await using (var scope = api.Services.CreateAsyncScope())
        {
            var database = scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>();
            database.AcceptedRuns.AddRange(runs.Select(r => new AcceptedRunRow
            {
                RunId = r.RunId, Tenant = r.Tenant, Submission = JsonSerializer.Serialize(r, ContractJson.Options), AcceptedAt = r.AcceptedAt,
            }));
            await database.SaveChangesAsync(ApiUnderTest.Cancellation);
        }

        await api.Services.GetRequiredService<HandOver>().SweepAsync(ApiUnderTest.Cancellation);

        await ApiUnderTest.UntilAsync(() => Task.FromResult(api.Orchestrator.Submitted.Count >= runs.Count), "the submissions");
        Assert.Equal(runs.Select(r => r.RunId).Order(), api.Orchestrator.Submitted.Select(s => s.RunId).Order());
    }

    [Fact]
    public async Task An_idempotency_key_is_forgotten_after_a_day_and_free_even_before_it_is_swept_away()
    {
        var clock = new FakeTimeProvider();
        await using var api = await StartAsync(clock);
        await KeepAsync("swept");
        await ApiUnderTest.UntilAsync(
            async () =>
            {
                clock.Advance(TimeSpan.FromSeconds(60));
                await using var scope = api.Services.CreateAsyncScope();
                return !await scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().IdempotencyKeys.AnyAsync(ApiUnderTest.Cancellation);
            }, "the key to be forgotten");

        // From here on the clock stands still, so nothing is swept.
        await KeepAsync("old");
        await AcceptAsync(api, key: "old");

        async Task KeepAsync(string key)
        {
            await using var scope = api.Services.CreateAsyncScope();
            var database = scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>();
            database.IdempotencyKeys.Add(new IdempotencyRow
            {
                Tenant = Tenants.Default, Key = key, Fingerprint = "of another body", RunId = Guid.NewGuid(), Answer = "{}", CreatedAt = clock.GetUtcNow() - TimeSpan.FromHours(24) - TimeSpan.FromTicks(1),
            });
            await database.SaveChangesAsync(ApiUnderTest.Cancellation);
        }
    }

    [Fact]
    public async Task A_key_that_another_process_took_meanwhile_gets_the_answer_of_that_process()
    {
        var race = new AnotherProcess();
        await using var api = await ApiUnderTest.StartAsync(_folder, new FakeOrchestrator { Configure = b => b.Services.ConfigureDbContext<PipelineApiDbContext>(o => o.AddInterceptors(race)) });
        race.Services = api.Services;

        Assert.Equal(race.Winner, await AcceptAsync(api, key: "k"));

        await using var scope = api.Services.CreateAsyncScope();
        Assert.Empty(await scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().AcceptedRuns.ToListAsync(ApiUnderTest.Cancellation));
        Assert.Empty(api.Orchestrator.Submitted);
    }

    private Task<ApiUnderTest> StartAsync(FakeTimeProvider clock, bool takesOn = true) => ApiUnderTest.StartAsync(
        _folder,
        new FakeOrchestrator { TakesOn = takesOn, Configure = b => b.Services.Replace(ServiceDescriptor.Singleton<TimeProvider>(clock)) },
        extra: new() { ["PipelineApi:HandOverSeconds"] = "60" });

    private static async Task<Guid> AcceptAsync(ApiUnderTest api, string? key = null)
    {
        var model = await api.UploadAsync("net");
        var run = await ApiUnderTest.BodyAsync(await api.PostAsync("/v1/runs", $$$"""{"model":"{{{model.Digest}}}","pipeline":{"steps":[{"uses":"compiler/fuse"}]}}""", key: key), HttpStatusCode.Accepted);
        return (Guid)run["id"]!;
    }

    private static async Task<bool> IsHandedOverAsync(ApiUnderTest api, Guid id)
    {
        await using var scope = api.Services.CreateAsyncScope();
        return await scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().AcceptedRuns.AnyAsync(r => r.RunId == id && r.HandedOver, ApiUnderTest.Cancellation);
    }

    /// <summary>Takes the key after it was found to be free and before it is saved.</summary>
    private sealed class AnotherProcess : SaveChangesInterceptor
    {
        private int _done;

        public Guid Winner { get; } = Guid.NewGuid();

        public IServiceProvider? Services { get; set; }

        public override async ValueTask<InterceptionResult<int>> SavingChangesAsync(DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
        {
            var mine = eventData.Context!.ChangeTracker.Entries<IdempotencyRow>().SingleOrDefault()?.Entity;
            if (mine is not null && Interlocked.Exchange(ref _done, 1) == 0)
            {
                await using var scope = Services!.CreateAsyncScope();
                var database = scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>();
                database.IdempotencyKeys.Add(new IdempotencyRow
                {
                    Tenant = mine.Tenant, Key = mine.Key, Fingerprint = mine.Fingerprint, RunId = Winner, Answer = $$"""{"id":"{{Winner}}"}""", CreatedAt = mine.CreatedAt,
                });
                await database.SaveChangesAsync(cancellationToken);
            }
            return result;
        }
    }
}
