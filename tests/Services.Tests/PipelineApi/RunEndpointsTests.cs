using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.PipelineApi.Runs;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.PipelineApi;

public sealed class RunEndpointsTests : IAsyncLifetime
{
    private const string Compress = """{"steps":[{"uses":"compiler/fuse"},{"uses":"compiler/quantize","with":{"samples":10},"datasets":{"calibrate":"calibration"}}]}""";

    private readonly TemporaryFolder _folder = new();
    private ApiUnderTest _api = null!;

    public async ValueTask InitializeAsync() => _api = await ApiUnderTest.StartAsync(_folder);

    public async ValueTask DisposeAsync()
    {
        await _api.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Accepts_a_run_with_everything_resolved_and_hands_it_over()
    {
        var (model, data) = (await _api.UploadAsync("net"), await _api.UploadAsync("data", "dataset"));
        var named = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/models", $$$"""{"name":"tiny","artifact":"{{{model.Digest}}}"}"""), HttpStatusCode.Created);
        await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/datasets", $$$"""{"name":"calibration","artifact":"{{{data.Digest}}}"}"""), HttpStatusCode.Created);

        using var answer = await _api.PostAsync("/v1/runs",
            $$$"""{"model":"{{{named["id"]}}}","pipeline":{{{Compress}}},"options":{"2":{"calibration":"mse"}},"priority":5,"seed":42,"cache":false,"labels":{"team":"audio"}}""");
        var run = await ApiUnderTest.BodyAsync(answer, HttpStatusCode.Accepted);

        Assert.Equal($"/v1/runs/{run["id"]}", answer.Headers.Location?.ToString());
        Assert.Equal(("accepted", "tiny", "default"), ((string)run["state"]!, (string)run["modelName"]!, (string)run["tenant"]!));
        await ApiUnderTest.UntilAsync(() => Task.FromResult(!_api.Orchestrator.Submitted.IsEmpty), "the submission");
        Assert.True(_api.Orchestrator.Submitted.TryPeek(out var submitted));
        Assert.Equal((Guid)run["id"]!, submitted.RunId);
        Assert.Equal((model, "tiny", 5, 42, false), (submitted.Model, submitted.ModelName, submitted.Priority, submitted.Seed, submitted.Cache));
        Assert.Equal([("1", "compiler", "onnx"), ("1", "compiler", "onnx")], submitted.Steps.Select(s => (s.Version, s.Worker, s.Produces)));
        Assert.Equal(("calibration", data), (Assert.Single(submitted.Datasets).Name, submitted.Datasets[0].Artifact));
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse("""{"samples":10,"calibration":"mse"}"""), JsonSerializer.SerializeToNode(submitted.Pipeline.Steps[1].With)));
        Assert.Equal("audio", submitted.Labels["team"]);
    }

    [Fact]
    public async Task Takes_a_digest_for_a_model_and_datasets_of_the_run_alone()
    {
        var (model, data) = (await _api.UploadAsync("net"), await _api.UploadAsync("data", "dataset"));

        await ApiUnderTest.BodyAsync(
            await _api.PostAsync("/v1/runs", $$$"""{"model":"{{{model.Digest}}}","pipeline":{{{Compress}}},"datasets":{"calibration":"{{{data.Digest}}}"}}"""), HttpStatusCode.Accepted);

        await ApiUnderTest.UntilAsync(() => Task.FromResult(!_api.Orchestrator.Submitted.IsEmpty), "the submission");
        Assert.True(_api.Orchestrator.Submitted.TryPeek(out var submitted));
        Assert.Equal(data, Assert.Single(submitted.Datasets).Artifact);
        Assert.Equal((true, 0, 0), (submitted.Cache, submitted.Seed, submitted.Priority));
    }

    [Fact]
    public async Task The_name_of_a_model_means_the_newest_of_that_name()
    {
        var (old, young) = (await _api.UploadAsync("old"), await _api.UploadAsync("young"));
        foreach (var artifact in new[] { old, young })
            await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/models", $$$"""{"name":"tiny","artifact":"{{{artifact.Digest}}}"}"""), HttpStatusCode.Created);

        var run = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/runs", """{"model":"tiny","pipeline":{"steps":[{"uses":"compiler/fuse"}]}}"""), HttpStatusCode.Accepted);

        Assert.Equal(young.Digest, (string)run["model"]!["digest"]!);
    }

    [Fact]
    public async Task Runs_a_stored_pipeline_by_its_name()
    {
        var model = await _api.UploadAsync("net");
        await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/pipelines", "name: fuse-only\nsteps:\n  - uses: compiler/fuse\n", "application/yaml"), HttpStatusCode.Created);

        var run = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/runs", $$$"""{"model":"{{{model.Digest}}}","pipeline":"fuse-only"}"""), HttpStatusCode.Accepted);

        Assert.Equal("compiler/fuse", (string)run["pipeline"]!["steps"]![0]!["uses"]!);
    }

    [Fact]
    public async Task Refuses_everything_that_is_wrong_at_once_and_stores_nothing()
    {
        var data = await _api.UploadAsync("data", "dataset");
        var answer = await _api.PostAsync("/v1/runs",
            $$$"""
            {"model":"{{{data.Digest}}}","pipeline":{"name":"Bad Name","steps":[{"uses":"compiler/fuse","with":{"x":1}},{"uses":"no/such"}]},
             "options":{"3":{},"1":7},"datasets":{"other":"sha256:0"},"priority":101,"seed":-1,"cache":"no","labels":{"a":1},"retries":3}
            """, key: "k1");

        var problem = await ApiUnderTest.ProblemAsync(answer, HttpStatusCode.BadRequest, "invalid-pipeline");

        Assert.Equal(
            [
                ("/cache", "wrong-type"), ("/datasets/other", "unused-dataset"), ("/labels/a", "wrong-type"), ("/model", "wrong-kind"), ("/name", "invalid-name"),
                ("/options/1", "wrong-type"), ("/options/3", "unknown-step"), ("/priority", "out-of-range"), ("/retries", "unknown-field"), ("/seed", "out-of-range"),
                ("/steps/0/with/x", "unknown-option"), ("/steps/1/uses", "unknown-transformer"),
            ],
            problem.Errors.Select(e => (e.Field, e.Code)).OrderBy(e => e.Field, StringComparer.Ordinal));
        await using var scope = _api.Services.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>();
        Assert.Equal((0, 0), (await database.AcceptedRuns.CountAsync(ApiUnderTest.Cancellation), await database.IdempotencyKeys.CountAsync(ApiUnderTest.Cancellation)));
        Assert.Empty(_api.Orchestrator.Submitted);
    }

    [Theory]
    [InlineData("""{}""", "/model missing-field,/pipeline missing-field")]
    [InlineData("""[]""", " wrong-type")]
    [InlineData("""{"model":"nope","pipeline":"nope"}""", "/model unknown-model,/pipeline unknown-pipeline")]
    [InlineData("""{"model":"sha256:1","pipeline":{"steps":[{"uses":"compiler/fuse"}]}}""", "/model invalid-digest")]
    [InlineData("""{"model":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","pipeline":{"steps":[{"uses":"compiler/fuse"}]}}""", "/model unknown-artifact")]
    [InlineData("""{"model":"nope","pipeline":7}""", " wrong-type,/model unknown-model")]
    public async Task Refuses_a_request_that_is_incomplete_or_names_what_is_not_there(string body, string expected)
    {
        var problem = await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/runs", body), HttpStatusCode.BadRequest, "invalid-pipeline");

        Assert.Equal(expected, string.Join(",", problem.Errors.Select(e => $"{e.Field} {e.Code}").Order(StringComparer.Ordinal)));
    }

    [Fact]
    public async Task The_same_key_and_body_is_one_run_and_another_body_is_422()
    {
        var model = await _api.UploadAsync("net");
        var body = $$$"""{"model":"{{{model.Digest}}}","pipeline":{"steps":[{"uses":"compiler/fuse"}]}}""";

        var first = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/runs", body, key: "k"), HttpStatusCode.Accepted);
        var second = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/runs", body, key: "k"), HttpStatusCode.Accepted);
        await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/runs", body + " ", key: "k"), HttpStatusCode.UnprocessableEntity, "idempotency-key-reused");
        var other = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/runs", body, key: "k2"), HttpStatusCode.Accepted);

        Assert.True(JsonNode.DeepEquals(first, second));
        Assert.NotEqual((string)first["id"]!, (string)other["id"]!);
    }

    [Fact]
    public async Task Fifty_requests_with_one_key_make_one_run()
    {
        var model = await _api.UploadAsync("net");
        var body = $$$"""{"model":"{{{model.Digest}}}","pipeline":{"steps":[{"uses":"compiler/fuse"}]}}""";

        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => _api.PostAsync("/v1/runs", body, key: "k")));

        Assert.All(answers, a => Assert.True(a.StatusCode is HttpStatusCode.Accepted or HttpStatusCode.Conflict, a.StatusCode.ToString()));
        Assert.Contains(answers, a => a.StatusCode == HttpStatusCode.Accepted);
        var ids = await Task.WhenAll(answers.Where(a => a.StatusCode == HttpStatusCode.Accepted).Select(async a => (string)JsonNode.Parse(await a.Content.ReadAsStringAsync(ApiUnderTest.Cancellation))!["id"]!));
        Assert.Single(ids.Distinct());
        await using var scope = _api.Services.CreateAsyncScope();
        Assert.Equal(1, await scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().AcceptedRuns.CountAsync(ApiUnderTest.Cancellation));
    }

    [Fact]
    public async Task A_request_whose_key_is_being_answered_is_409()
    {
        var model = await _api.UploadAsync("net");
        var body = $$$"""{"model":"{{{model.Digest}}}","pipeline":{"steps":[{"uses":"compiler/fuse"}]}}""";
        var inFlight = _api.Services.GetRequiredService<RunKeysInFlight>();
        Assert.True(inFlight.TryEnter(Tenants.Default, "k"));

        await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/runs", body, key: "k"), HttpStatusCode.Conflict, "request-in-flight");
        await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/runs", body, key: "another"), HttpStatusCode.Accepted);
        inFlight.Leave(Tenants.Default, "k");
        await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/runs", body, key: "k"), HttpStatusCode.Accepted);
    }

    [Fact]
    public async Task Datasets_come_in_the_order_of_their_names()
    {
        var (model, data) = (await _api.UploadAsync("net"), await _api.UploadAsync("data", "dataset"));
        await ApiUnderTest.BodyAsync(
            await _api.PostAsync("/v1/runs", $$$$"""
                {"model":"{{{{model.Digest}}}}","datasets":{"z":"{{{{data.Digest}}}}","a":"{{{{data.Digest}}}}"},
                 "pipeline":{"steps":[{"uses":"compiler/quantize","datasets":{"calibrate":"z"}}],"evaluate":{"dataset":"a","metric":"top1"}}}
                """), HttpStatusCode.Accepted);

        await ApiUnderTest.UntilAsync(() => Task.FromResult(!_api.Orchestrator.Submitted.IsEmpty), "the submission");
        Assert.True(_api.Orchestrator.Submitted.TryPeek(out var submitted));
        Assert.Equal(["a", "z"], submitted.Datasets.Select(d => d.Name));
    }

    [Theory]
    [InlineData("labels", 32, 200, "")]
    [InlineData("labels", 33, 1, "/labels too-many-labels")]
    [InlineData("labels", 1, 201, "/labels/N0 too-long")]
    [InlineData("datasets", 65, 1, "/datasets too-many-datasets")]
    public async Task Takes_labels_and_datasets_up_to_a_limit(string field, int count, int length, string expected)
    {
        var model = await _api.UploadAsync("net");
        var name = new string('x', length - 1);
        var entries = new JsonObject(Enumerable.Range(0, count).Select(i => KeyValuePair.Create<string, JsonNode?>(length == 1 ? $"n{i}" : $"{name[Math.Min(1, i / 10)..]}{i}", "v")));
        var body = new JsonObject { ["model"] = model.Digest, ["pipeline"] = JsonNode.Parse("""{"steps":[{"uses":"compiler/fuse"}]}"""), [field] = entries };
        if (expected.Length == 0)
        {
            await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/runs", body.ToJsonString()), HttpStatusCode.Accepted);
            return;
        }
        var problem = await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/runs", body.ToJsonString()), HttpStatusCode.BadRequest, "invalid-pipeline");
        Assert.Equal(expected.Replace("N0", entries.First().Key, StringComparison.Ordinal), string.Join(",", problem.Errors.Select(e => $"{e.Field} {e.Code}")));
    }

    [Theory]
    [InlineData("")]
    [InlineData("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    public async Task A_key_that_is_empty_or_too_long_is_refused(string key) =>
        await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/runs", "{}", key: key), HttpStatusCode.BadRequest, "invalid-idempotency-key");

    [Fact]
    public async Task Shows_a_run_as_the_orchestrator_does_and_passes_its_ETag_through()
    {
        var id = await AcceptAsync();
        await ApiUnderTest.UntilAsync(async () => (string)(await _api.GetAsync($"/v1/runs/{id}"))["state"]! == "running", "the orchestrator's answer");
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/runs/{id}");
        request.Headers.IfNoneMatch.Add(new EntityTagHeaderValue("\"7\""));
        request.Headers.Add("Tiny-Tenant", "somebody-else");
        using var answer = await _api.Http.SendAsync(request, ApiUnderTest.Cancellation);

        Assert.Equal(HttpStatusCode.NotModified, answer.StatusCode);
        Assert.Equal("\"7\"", answer.Headers.ETag?.Tag);
        Assert.All(_api.Orchestrator.Tenants, tenant => Assert.Equal("default", tenant));
    }

    [Fact]
    public async Task Shows_a_run_as_accepted_until_the_orchestrator_has_taken_it_on()
    {
        _api.Orchestrator.TakesOn = false;
        var id = await AcceptAsync();

        var run = await _api.GetAsync($"/v1/runs/{id}");

        Assert.Equal(("accepted", "pending"), ((string)run["state"]!, (string)run["steps"]![0]!["state"]!));
    }

    [Fact]
    public async Task Cancels_a_run()
    {
        var id = await AcceptAsync();

        var run = await ApiUnderTest.BodyAsync(await _api.PostAsync($"/v1/runs/{id}/cancel", ""), HttpStatusCode.Accepted);

        Assert.Equal("cancelling", (string)run["state"]!);
        Assert.Equal(("default", id), (Assert.Single(_api.Orchestrator.Cancelled).Tenant, _api.Orchestrator.Cancelled.First().RunId));
    }

    [Fact]
    public async Task Resumes_a_run_under_the_key_of_the_request()
    {
        var id = await AcceptAsync();

        using var answer = await _api.PostAsync($"/v1/runs/{id}/resume", "", key: "again");
        Assert.Equal($"/v1/runs/{id}", answer.Headers.Location?.OriginalString);
        await ApiUnderTest.BodyAsync(answer, HttpStatusCode.Accepted);
        await ApiUnderTest.BodyAsync(await _api.PostAsync($"/v1/runs/{id}/resume", ""), HttpStatusCode.Accepted);
        await ApiUnderTest.ProblemAsync(await _api.PostAsync($"/v1/runs/{id}/resume", "", key: new string('k', 256)), HttpStatusCode.BadRequest, "invalid-idempotency-key");

        Assert.Equal([("default", id, "again"), ("default", id, null)], _api.Orchestrator.Resumed.Select(r => (r.Tenant, r.RunId, r.Key)));
    }

    [Fact]
    public async Task Says_why_a_run_cannot_be_resumed()
    {
        _api.Orchestrator.RefusesToResume = new ResumeRunRefused { Code = "run-succeeded", Message = "as the test wants it" };
        var id = await AcceptAsync();

        var problem = await ApiUnderTest.ProblemAsync(await _api.PostAsync($"/v1/runs/{id}/resume", ""), HttpStatusCode.Conflict, "run-succeeded");

        Assert.Equal("as the test wants it", problem.Detail);
    }

    [Fact]
    public async Task A_run_that_was_never_accepted_is_404_everywhere()
    {
        var id = Guid.Parse("00000000-0000-0000-0000-000000000001");

        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync($"/v1/runs/{id}", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "run-not-found");
        await ApiUnderTest.ProblemAsync(await _api.PostAsync($"/v1/runs/{id}/cancel", ""), HttpStatusCode.NotFound, "run-not-found");
        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync($"/v1/runs/{id}/steps/1/report", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "step-not-found");
        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync("/v1/runs/not-a-guid", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "no-such-route");
        await ApiUnderTest.ProblemAsync(await _api.PostAsync($"/v1/runs/{id}/resume", ""), HttpStatusCode.NotFound, "run-not-found");
        await ApiUnderTest.ProblemAsync(await _api.PostAsync($"/v1/runs/{id}/restart", ""), HttpStatusCode.NotFound, "no-such-route");
    }

    [Fact]
    public async Task Passes_steps_logs_reports_and_outputs_through()
    {
        _api.Orchestrator.Report = await _api.UploadAsync("""{"changed":1}""", "report");
        var id = await AcceptAsync();
        await ApiUnderTest.UntilAsync(async () => (string)(await _api.GetAsync($"/v1/runs/{id}"))["state"]! == "running", "the orchestrator's answer");

        Assert.Equal("compiler/fuse", (string)(await _api.GetAsync($"/v1/runs/{id}/steps/1"))["uses"]!);
        Assert.Equal("follow=True\n", await _api.Http.GetStringAsync($"/v1/runs/{id}/steps/1/logs?follow=true", ApiUnderTest.Cancellation));
        Assert.Equal(1, (int)(await _api.GetAsync($"/v1/runs/{id}/steps/1/report"))["changed"]!);
        Assert.Equal(_api.Orchestrator.Report.Digest, (string)(await _api.GetAsync($"/v1/runs/{id}/steps/1/outputs"))["items"]![0]!["digest"]!);
        Assert.Equal("?state=running&page_size=3", (string)(await _api.GetAsync("/v1/runs?state=running&page_size=3"))["query"]!);
        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync($"/v1/runs/{id}/steps/9", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "no-such-step");
    }

    [Theory]
    [InlineData("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true)]
    [InlineData("text/html;q=0.4, application/json;q=0.5", false)]
    [InlineData("application/json", false)]
    [InlineData("*/*", false)]
    public async Task Draws_a_report_for_who_prefers_a_page(string accept, bool isPage)
    {
        _api.Orchestrator.Report = await _api.UploadAsync("""{"node":"<b>"}""", "report");
        var id = await AcceptAsync();
        await ApiUnderTest.UntilAsync(async () => (string)(await _api.GetAsync($"/v1/runs/{id}"))["state"]! == "running", "the orchestrator's answer");

        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/runs/{id}/steps/1/report");
        request.Headers.Accept.ParseAdd(accept);
        using var answer = await _api.Http.SendAsync(request, ApiUnderTest.Cancellation);
        var text = await answer.Content.ReadAsStringAsync(ApiUnderTest.Cancellation);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(isPage, answer.Content.Headers.ContentType?.MediaType == "text/html");
        Assert.Equal(isPage, answer.Headers.Contains("Content-Security-Policy"));
        Assert.Contains(isPage ? "<dd>&lt;b&gt;</dd>" : """{"node":"<b>"}""", text, StringComparison.Ordinal);
        Assert.Contains("Accept", answer.Headers.Vary);
    }

    [Fact]
    public async Task Refuses_a_page_of_a_report_that_is_too_large_for_one()
    {
        _api.Orchestrator.Report = (await _api.UploadAsync("{}", "report")) with { Size = (16 << 20) + 1 };
        var id = await AcceptAsync();
        await ApiUnderTest.UntilAsync(async () => (string)(await _api.GetAsync($"/v1/runs/{id}"))["state"]! == "running", "the orchestrator's answer");
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/runs/{id}/steps/1/report");
        request.Headers.Accept.ParseAdd("text/html");
        await ApiUnderTest.ProblemAsync(await _api.Http.SendAsync(request, ApiUnderTest.Cancellation), HttpStatusCode.NotAcceptable, "report-too-large");
    }

    private async Task<Guid> AcceptAsync()
    {
        var model = await _api.UploadAsync("net");
        var run = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/runs", $$$"""{"model":"{{{model.Digest}}}","pipeline":{"steps":[{"uses":"compiler/fuse"}]}}"""), HttpStatusCode.Accepted);
        return (Guid)run["id"]!;
    }
}
