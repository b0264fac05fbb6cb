using System.Net;
using System.Net.Http.Headers;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.Orchestrator.Events;

namespace TinyMLaaS.Services.Tests.PipelineApi;

public sealed class EventEndpointsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_stream_is_passed_through_event_by_event_and_ends_with_its_client()
    {
        await using var api = await ApiUnderTest.StartAsync(_folder);
        await using (var stream = await EventStream.OpenAsync(api.Http, "v1/events?type=run.failed", "7"))
        {
            Assert.Equal("id: 8", await stream.LineAsync());
            Assert.Equal("data: default ?type=run.failed 7 text/event-stream", await stream.LineAsync());
            Assert.False(api.Orchestrator.Left.Task.IsCompleted);
        }

        await api.Orchestrator.Left.Task.WaitAsync(TimeSpan.FromSeconds(30), Cancellation);
    }

    [Fact]
    public async Task The_tenant_that_a_client_names_is_not_believed()
    {
        await using var api = await ApiUnderTest.StartAsync(_folder);
        api.Http.DefaultRequestHeaders.Add("Tiny-Tenant", "another");

        await using var stream = await EventStream.OpenAsync(api.Http, "v1/events");

        Assert.Equal("id: 8", await stream.LineAsync());
        Assert.StartsWith("data: default ", await stream.LineAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_the_orchestrator_the_answer_names_it()
    {
        await using var api = await ApiUnderTest.StartAsync(_folder, without: "orchestrator");
        using var request = new HttpRequestMessage(HttpMethod.Get, "v1/events") { Headers = { Accept = { new MediaTypeWithQualityHeaderValue("text/event-stream") } } };

        var problem = await ApiUnderTest.ProblemAsync(await api.Http.SendAsync(request, Cancellation), HttpStatusCode.ServiceUnavailable, "service-unavailable");

        Assert.Contains("'orchestrator'", problem.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stream_does_not_keep_the_process_from_ending()
    {
        var api = await ApiUnderTest.StartAsync(_folder);
        await using var stream = await EventStream.OpenAsync(api.Http, "v1/events");
        Assert.Equal("id: 8", await stream.LineAsync());

        await api.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(4), Cancellation);
    }
}
