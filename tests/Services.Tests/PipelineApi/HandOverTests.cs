using System.Net;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
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

    private static async Task<Guid> AcceptAsync(ApiUnderTest api)
    {
        var model = await api.UploadAsync("net");
        var run = await ApiUnderTest.BodyAsync(await api.PostAsync("/v1/runs", $$$"""{"model":"{{{model.Digest}}}","pipeline":{"steps":[{"uses":"compiler/fuse"}]}}"""), HttpStatusCode.Accepted);
        return (Guid)run["id"]!;
    }

    private static async Task<bool> IsHandedOverAsync(ApiUnderTest api, Guid id)
    {
        await using var scope = api.Services.CreateAsyncScope();
        return await scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().AcceptedRuns.AnyAsync(r => r.RunId == id && r.HandedOver, ApiUnderTest.Cancellation);
    }
}
