using System.Net;
using System.Net.Http.Json;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.PipelineApi;
using TinyMLaaS.PipelineApi.Transformers;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.PipelineApi;

public sealed class ReadinessTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Ready_when_everything_is_there()
    {
        await using var api = await ApiUnderTest.StartAsync(_folder);

        Assert.Empty(await MissingAsync(api, HttpStatusCode.OK));
    }

    [Theory]
    [InlineData("artifact-store")]
    [InlineData("orchestrator")]
    public async Task Names_the_service_that_is_left_out(string service)
    {
        await using var api = await ApiUnderTest.StartAsync(_folder, without: service);

        Assert.Equal([(service, "it was left out of this process")], await MissingAsync(api, HttpStatusCode.ServiceUnavailable));
    }

    [Fact]
    public async Task Names_each_worker_that_has_not_announced_itself()
    {
        await using var api = await ApiUnderTest.StartAsync(_folder, workers: [TestTransformers.Installer]);

        Assert.Equal([("compiler", "no worker of this kind has announced itself in the last 15 s")], await MissingAsync(api, HttpStatusCode.ServiceUnavailable));
    }

    [Fact]
    public async Task A_catalogue_from_before_the_restart_is_no_presence()
    {
        await using (await ApiUnderTest.StartAsync(_folder))
        {
        }

        await using var api = await ApiUnderTest.StartAsync(_folder, workers: []);

        Assert.Equal(["compiler", "installer"], (await MissingAsync(api, HttpStatusCode.ServiceUnavailable)).Select(m => m.Service));
        Assert.Equal(3, (await api.GetAsync("/v1/transformers"))["items"]!.AsArray().Count);
    }

    [Fact]
    public async Task Without_the_store_requests_that_need_it_are_503_and_name_it()
    {
        await using var api = await ApiUnderTest.StartAsync(_folder, without: "artifact-store");
        var digest = "sha256:" + new string('a', 64);

        foreach (var answer in new[]
        {
            await api.Http.GetAsync($"/v1/artifacts/{digest}", ApiUnderTest.Cancellation),
            await api.PostAsync("/v1/artifacts?kind=onnx", "x"),
            await api.PostAsync("/v1/models", $$$"""{"name":"x","artifact":"{{{digest}}}"}"""),
        })
        {
            var problem = await ApiUnderTest.ProblemAsync(answer, HttpStatusCode.ServiceUnavailable, "service-unavailable");
            Assert.Contains("'artifact-store'", problem.Detail, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_worker_is_gone_when_it_has_been_silent_for_longer_than_allowed()
    {
        var time = new FakeTimeProvider();
        var presence = new WorkerPresence(time, Options.Create(new PipelineApiOptions { SilenceSeconds = 15 }));
        presence.Note(TestTransformers.Compiler);

        time.Advance(TimeSpan.FromSeconds(15));
        Assert.Equal((1, 1), (presence.InstancesOf("compiler"), presence.InstancesWith("compiler/fuse")));
        time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.Equal((0, 0), (presence.InstancesOf("compiler"), presence.InstancesWith("compiler/fuse")));
    }

    [Fact]
    public void A_worker_that_leaves_is_gone_at_once()
    {
        var presence = new WorkerPresence(new FakeTimeProvider(), Options.Create(new PipelineApiOptions()));
        presence.Note(TestTransformers.Compiler);
        presence.Note(TestTransformers.Compiler with { Instance = "compiler-2" });

        presence.Note(TestTransformers.Compiler with { Leaving = true });

        Assert.Equal(1, presence.InstancesOf("compiler"));
    }

    [Theory]
    [InlineData("PipelineApi:Database", "", "PipelineApi:Database is not set.")]
    [InlineData("PipelineApi:HandOverSeconds", "0", "PipelineApi:HandOverSeconds must be from 0.05 to 60.")]
    [InlineData("PipelineApi:SilenceSeconds", "0", "PipelineApi:SilenceSeconds must be from 1 to 600.")]
    public async Task Does_not_start_with_a_wrong_option(string key, string value, string expected)
    {
        var refused = await Assert.ThrowsAsync<OptionsValidationException>(() => ApiUnderTest.StartAsync(_folder, extra: new() { [key] = value }));

        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Does_not_start_on_a_database_that_lacks_migrations()
    {
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => ApiUnderTest.StartAsync(_folder, extra: new() { ["PipelineApi:MigrateAtStart"] = "false" }));

        Assert.Contains("PipelineApi:MigrateAtStart=true lets this process do it", refused.Message, StringComparison.Ordinal);
    }

    private static async Task<IEnumerable<(string Service, string Reason)>> MissingAsync(ApiUnderTest api, HttpStatusCode expected)
    {
        // Its loops have to go round once.
        await ApiUnderTest.UntilAsync(async () => (await api.Http.GetAsync("/health/startup", ApiUnderTest.Cancellation)).IsSuccessStatusCode, "the start");
        using var answer = await api.Http.GetAsync("/health/ready", ApiUnderTest.Cancellation);
        var readiness = await answer.Content.ReadFromJsonAsync<Readiness>(ContractJson.Options, ApiUnderTest.Cancellation);
        Assert.Equal((expected, "pipeline-api"), (answer.StatusCode, readiness!.Service));
        return readiness.Missing.Select(m => (m.Service, m.Reason));
    }
}
