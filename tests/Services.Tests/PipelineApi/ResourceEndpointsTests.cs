using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.PipelineApi;

public sealed class ResourceEndpointsTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private ApiUnderTest _api = null!;

    public async ValueTask InitializeAsync() => _api = await ApiUnderTest.StartAsync(_folder);

    public async ValueTask DisposeAsync()
    {
        await _api.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Passes_files_through_with_ranges_refusals_and_digests()
    {
        var artifact = await _api.UploadAsync("hello, artifact");
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/artifacts/{artifact.Digest}");
        request.Headers.Range = new(7, 10);
        using var range = await _api.Http.SendAsync(request, ApiUnderTest.Cancellation);
        using var head = await _api.Http.SendAsync(new HttpRequestMessage(HttpMethod.Head, $"/v1/artifacts/{artifact.Digest}"), ApiUnderTest.Cancellation);

        Assert.Equal((HttpStatusCode.PartialContent, "arti"), (range.StatusCode, await range.Content.ReadAsStringAsync(ApiUnderTest.Cancellation)));
        Assert.Equal((HttpStatusCode.OK, 15L), (head.StatusCode, head.Content.Headers.ContentLength!.Value));
        Assert.Equal($"\"{artifact.Digest}\"", head.Headers.ETag!.Tag);
        await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/artifacts?kind=exe", "x"), HttpStatusCode.BadRequest, "unknown-kind");
        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync("/v1/artifacts/sha256:1", ApiUnderTest.Cancellation), HttpStatusCode.BadRequest, "invalid-digest");
        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync("/v1/artifacts/sha256:" + new string('a', 64), ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "artifact-not-found");
        using var wrong = new HttpRequestMessage(HttpMethod.Post, "/v1/artifacts?kind=onnx") { Content = new StringContent("x") };
        wrong.Headers.Add("Tiny-Digest", "sha256:" + new string('a', 64));
        await ApiUnderTest.ProblemAsync(await _api.Http.SendAsync(wrong, ApiUnderTest.Cancellation), HttpStatusCode.UnprocessableEntity, "digest-mismatch");
    }

    [Fact]
    public async Task Passes_uploads_in_parts_through_with_offsets_and_refusals()
    {
        var begun = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/uploads?kind=onnx", ""), HttpStatusCode.Accepted);
        var path = $"/v1/uploads/{begun["id"]}";
        async Task<HttpResponseMessage> PatchAsync(string text, string range)
        {
            using var request = new HttpRequestMessage(HttpMethod.Patch, path) { Content = new StringContent(text) };
            request.Content.Headers.TryAddWithoutValidation("Content-Range", range);
            return await _api.Http.SendAsync(request, ApiUnderTest.Cancellation);
        }

        using (var first = await PatchAsync("hello, ", "0-6"))
        {
            Assert.Equal((HttpStatusCode.Accepted, path, "0-6"), (first.StatusCode, first.Headers.Location?.ToString(), Assert.Single(first.Headers.GetValues("Range"))));
        }
        using (var refused = await PatchAsync("hello, ", "0-6"))
        {
            Assert.Equal("0-6", Assert.Single(refused.Headers.GetValues("Range")));
            await ApiUnderTest.ProblemAsync(refused, HttpStatusCode.RequestedRangeNotSatisfiable, "upload-offset");
        }
        await ApiUnderTest.ProblemAsync(await PatchAsync("x", "7-8"), HttpStatusCode.BadRequest, "invalid-range");
        Assert.Equal(7, (int)(await _api.GetAsync(path))["received"]!);
        var digest = "sha256:" + Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData("hello, artifact"u8));
        using (var last = new HttpRequestMessage(HttpMethod.Put, $"{path}?digest={digest}") { Content = new StringContent("artifact") })
        {
            last.Content.Headers.TryAddWithoutValidation("Content-Range", "7-14");
            var stored = await ApiUnderTest.BodyAsync(await _api.Http.SendAsync(last, ApiUnderTest.Cancellation), HttpStatusCode.Created);
            Assert.Equal((digest, 15), ((string?)stored["digest"], (int)stored["size"]!));
        }
        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync(path, ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "upload-not-found");
        await ApiUnderTest.ProblemAsync(await _api.Http.DeleteAsync("/v1/uploads/%2e%2e%2fartifacts", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "upload-not-found");
    }

    [Fact]
    public async Task What_is_damaged_is_passed_on_as_such_and_cannot_be_named_until_it_is_stored_again()
    {
        var artifact = await _api.UploadAsync("a network");
        var file = Assert.Single(Directory.EnumerateFiles(_folder["artifacts"], artifact.Digest[7..], SearchOption.AllDirectories));
        await File.WriteAllTextAsync(file, "b network", ApiUnderTest.Cancellation);

        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync($"/v1/artifacts/{artifact.Digest}", ApiUnderTest.Cancellation), HttpStatusCode.Gone, "artifact-damaged");
        using (var refused = await _api.PostAsync("/v1/models", $$"""{"name":"m","artifact":"{{artifact.Digest}}"}"""))
        {
            Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
            Assert.Contains("unknown-artifact", await refused.Content.ReadAsStringAsync(ApiUnderTest.Cancellation), StringComparison.Ordinal);
        }

        await _api.UploadAsync("a network");
        using var named = await _api.PostAsync("/v1/models", $$"""{"name":"m","artifact":"{{artifact.Digest}}"}""");
        Assert.Equal(HttpStatusCode.Created, named.StatusCode);
        Assert.Equal("a network", await _api.Http.GetStringAsync($"/v1/artifacts/{artifact.Digest}", ApiUnderTest.Cancellation));
    }

    [Fact]
    public async Task A_client_cannot_choose_another_tenant()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/artifacts?kind=onnx") { Content = new StringContent("mine") };
        request.Headers.Add("Tiny-Tenant", "victim");
        using var answer = await _api.Http.SendAsync(request, ApiUnderTest.Cancellation);

        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        Assert.True(Directory.Exists(Path.Combine(_folder["artifacts"], "default")));
        Assert.False(Directory.Exists(Path.Combine(_folder["artifacts"], "victim")));
    }

    [Fact]
    public async Task A_model_is_named_once_and_found_again()
    {
        var artifact = await _api.UploadAsync("net");
        var body = $$$"""{"name":"tiny","artifact":"{{{artifact.Digest}}}"}""";

        var first = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/models", body), HttpStatusCode.Created);
        var again = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/models", body), HttpStatusCode.OK);

        Assert.Equal((string)first["id"]!, (string)again["id"]!);
        Assert.True(JsonNode.DeepEquals(first, await _api.GetAsync($"/v1/models/{first["id"]}")));
        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync($"/v1/models/{Guid.Empty}", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "model-not-found");
    }

    [Fact]
    public async Task A_list_is_read_page_by_page_newest_first_without_repeating()
    {
        for (var i = 0; i < 5; i++)
        {
            var artifact = await _api.UploadAsync($"net {i}");
            await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/models", $$$"""{"name":"m{{{i}}}","artifact":"{{{artifact.Digest}}}"}"""), HttpStatusCode.Created);
        }

        var names = new List<string>();
        string? token = null;
        do
        {
            var page = await _api.GetAsync("/v1/models?page_size=2" + (token is null ? "" : "&page_token=" + token));
            names.AddRange(page["items"]!.AsArray().Select(m => (string)m!["name"]!));
            token = (string?)page["nextPageToken"];
        }
        while (token is not null);

        Assert.Equal(["m4", "m3", "m2", "m1", "m0"], names);
    }

    [Theory]
    [InlineData("/v1/models?page_size=0", "out-of-range")]
    [InlineData("/v1/models?page_size=201", "out-of-range")]
    [InlineData("/v1/models?page_size=x", "out-of-range")]
    [InlineData("/v1/models?page_token=!", "invalid-page-token")]
    [InlineData("/v1/models?page_token=bm90LWEta2V5", "invalid-page-token")]
    [InlineData("/v1/datasets?page_size=-1", "out-of-range")]
    [InlineData("/v1/pipelines?page_token=!", "invalid-page-token")]
    [InlineData("/v1/transformers?page_token=!", "invalid-page-token")]
    public async Task A_page_that_cannot_be_is_refused(string path, string code)
    {
        var problem = await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync(path, ApiUnderTest.Cancellation), HttpStatusCode.BadRequest, "invalid-request");

        Assert.Equal(code, Assert.Single(problem.Errors).Code);
    }

    [Theory]
    [InlineData("""{"name":"../x","artifact":"DIGEST"}""", "/name invalid-name")]
    [InlineData("""{"name":"","artifact":"DIGEST"}""", "/name invalid-name")]
    [InlineData("""{"artifact":"DIGEST","kind":"onnx"}""", "/kind unknown-field,/name missing-field")]
    [InlineData("""{"name":7,"artifact":{}}""", "/artifact wrong-type,/name wrong-type")]
    [InlineData("""{"name":"x","artifact":"sha256:zz"}""", "/artifact invalid-digest")]
    [InlineData("null", " wrong-type")]
    public async Task A_wrong_model_is_refused_with_everything_that_is_wrong(string body, string expected)
    {
        var artifact = await _api.UploadAsync("net");
        var problem = await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/models", body.Replace("DIGEST", artifact.Digest, StringComparison.Ordinal)), HttpStatusCode.BadRequest, "invalid-request");

        Assert.Equal(expected, string.Join(",", problem.Errors.Select(e => $"{e.Field} {e.Code}").Order(StringComparer.Ordinal)));
    }

    [Fact]
    public async Task A_dataset_is_named_found_listed_and_deleted()
    {
        var (one, two) = (await _api.UploadAsync("one", "dataset"), await _api.UploadAsync("two", "dataset"));
        string Body(string digest) => $$$"""{"name":"speech","artifact":"{{{digest}}}"}""";

        await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/datasets", Body(one.Digest)), HttpStatusCode.Created);
        await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/datasets", Body(one.Digest)), HttpStatusCode.OK);
        await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/datasets", Body(two.Digest)), HttpStatusCode.Conflict, "dataset-exists");
        Assert.Equal(one.Digest, (string)(await _api.GetAsync("/v1/datasets/speech"))["artifact"]!["digest"]!);
        Assert.Equal("speech", (string)(await _api.GetAsync("/v1/datasets"))["items"]![0]!["name"]!);
        using var deleted = await _api.Http.DeleteAsync("/v1/datasets/speech", ApiUnderTest.Cancellation);
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        await ApiUnderTest.ProblemAsync(await _api.Http.DeleteAsync("/v1/datasets/speech", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "dataset-not-found");
        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync("/v1/datasets/speech", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "dataset-not-found");
    }

    [Fact]
    public async Task A_dataset_that_stays_on_its_site_is_not_available_yet()
    {
        var problem = await ApiUnderTest.ProblemAsync(
            await _api.PostAsync("/v1/datasets", """{"name":"speech","site":"factory-1","path":"/data"}"""), HttpStatusCode.BadRequest, "invalid-request");

        Assert.Equal(["/path not-yet-available", "/site not-yet-available"], problem.Errors.Select(e => $"{e.Field} {e.Code}").Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_network_is_no_dataset()
    {
        var artifact = await _api.UploadAsync("net");

        var problem = await ApiUnderTest.ProblemAsync(
            await _api.PostAsync("/v1/datasets", $$$"""{"name":"speech","artifact":"{{{artifact.Digest}}}"}"""), HttpStatusCode.BadRequest, "invalid-request");

        Assert.Equal($"The artifact {artifact.Digest} is of kind onnx. Expected dataset.", Assert.Single(problem.Errors).Message);
    }

    [Fact]
    public async Task The_catalogue_shows_what_a_pipeline_may_use()
    {
        var listed = await _api.GetAsync("/v1/transformers");
        var one = await _api.GetAsync("/v1/transformers/compiler/quantize");

        Assert.Equal(["compiler/fuse", "compiler/quantize", "installer/bundle"], listed["items"]!.AsArray().Select(t => (string)t!["descriptor"]!["name"]!));
        Assert.Equal(1, (int)one["instances"]!);
        var hidden = await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync("/v1/transformers/compiler/evaluate", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "transformer-not-found");
        Assert.EndsWith("Expected one of compiler/fuse, compiler/quantize, installer/bundle.", hidden.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_catalogue_stays_when_its_workers_go()
    {
        await _api.AnnounceAsync(TestTransformers.Compiler with { Leaving = true });

        Assert.Equal(0, (int)(await _api.GetAsync("/v1/transformers/compiler/quantize"))["instances"]!);
    }

    [Fact]
    public async Task A_pipeline_is_stored_as_YAML_or_JSON_replaced_and_deleted()
    {
        var made = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/pipelines", "name: small\nsteps:\n  - uses: compiler/fuse\n", "application/yaml"), HttpStatusCode.Created);
        await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/pipelines", """{"name":"small","steps":[{"uses":"compiler/fuse"}]}"""), HttpStatusCode.OK);
        await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/pipelines", """{"name":"small","steps":[{"uses":"installer/bundle"}]}"""), HttpStatusCode.Conflict, "pipeline-exists");
        var replaced = await ApiUnderTest.BodyAsync(await _api.SendAsync(HttpMethod.Put, "/v1/pipelines/small", """{"steps":[{"uses":"installer/bundle"}]}"""), HttpStatusCode.OK);
        var refused = await ApiUnderTest.ProblemAsync(
            await _api.SendAsync(HttpMethod.Put, "/v1/pipelines/small", """{"name":"other","steps":[]}"""), HttpStatusCode.BadRequest, "invalid-pipeline");

        Assert.Equal("compiler/fuse", (string)made["document"]!["steps"]![0]!["uses"]!);
        Assert.Equal(("installer/bundle", "small"), ((string)replaced["document"]!["steps"]![0]!["uses"]!, (string)replaced["document"]!["name"]!));
        Assert.Equal(["/name other-name", "/steps no-steps"], refused.Errors.Select(e => $"{e.Field} {e.Code}"));
        Assert.True(JsonNode.DeepEquals(replaced, await _api.GetAsync("/v1/pipelines/small")));
        Assert.Equal("small", (string)(await _api.GetAsync("/v1/pipelines"))["items"]![0]!["name"]!);
        using var deleted = await _api.Http.DeleteAsync("/v1/pipelines/small", ApiUnderTest.Cancellation);
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        await ApiUnderTest.ProblemAsync(await _api.Http.GetAsync("/v1/pipelines/small", ApiUnderTest.Cancellation), HttpStatusCode.NotFound, "pipeline-not-found");
    }

    [Fact]
    public async Task Validates_without_storing_and_takes_datasets_that_the_run_will_bring()
    {
        const string Document = "steps: [ { uses: compiler/quantize, datasets: { calibrate: mine } } ]";

        var valid = await ApiUnderTest.BodyAsync(await _api.PostAsync("/v1/pipelines/validate?dataset=mine", Document, "application/yaml"), HttpStatusCode.OK);
        var refused = await ApiUnderTest.ProblemAsync(await _api.PostAsync("/v1/pipelines/validate", Document, "application/yaml"), HttpStatusCode.BadRequest, "invalid-pipeline");

        Assert.Equal("compiler", (string)valid["steps"]![0]!["worker"]!);
        Assert.Equal((1, "/steps/0/datasets/calibrate", "unknown-dataset"), (refused.Errors[0].Step!.Value, refused.Errors[0].Field, Assert.Single(refused.Errors).Code));
    }

    [Theory]
    [InlineData("/v1/runs")]
    [InlineData("/v1/pipelines")]
    [InlineData("/v1/pipelines/validate")]
    [InlineData("/v1/models")]
    [InlineData("/v1/datasets")]
    public async Task A_hostile_body_is_refused_wherever_documents_are_read(string path)
    {
        var code = path is "/v1/models" or "/v1/datasets" ? "invalid-request" : "invalid-pipeline";
        await ApiUnderTest.ProblemAsync(await _api.PostAsync(path, new string(' ', (1 << 20) + 1)), HttpStatusCode.RequestEntityTooLarge, "document-too-large");
        using var chunked = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(new string('[', (1 << 20) + 1), Encoding.UTF8, "application/json") };
        chunked.Headers.TransferEncodingChunked = true;
        await ApiUnderTest.ProblemAsync(await _api.Http.SendAsync(chunked, ApiUnderTest.Cancellation), HttpStatusCode.RequestEntityTooLarge, "document-too-large");
        await ApiUnderTest.ProblemAsync(await _api.PostAsync(path, new string('[', 100_000)), HttpStatusCode.BadRequest, code);
        await ApiUnderTest.ProblemAsync(await _api.PostAsync(path, "a: &a [x]\nb: [*a, *a]", "application/yaml"), HttpStatusCode.BadRequest, code);
        await ApiUnderTest.ProblemAsync(await _api.PostAsync(path, """{"a":1,"a":2}"""), HttpStatusCode.BadRequest, code);
        await ApiUnderTest.ProblemAsync(await _api.PostAsync(path, ""), HttpStatusCode.BadRequest, code);
        await ApiUnderTest.ProblemAsync(await _api.PostAsync(path, "{}", "text/plain"), HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
        using var latin = new ByteArrayContent([0x22, 0xff, 0x22]) { Headers = { ContentType = new("application/json") } };
        await ApiUnderTest.ProblemAsync(await _api.Http.PostAsync(path, latin, ApiUnderTest.Cancellation), HttpStatusCode.BadRequest, code);
    }

    [Fact]
    public async Task The_description_of_the_interface_lists_the_public_routes_alone()
    {
        var paths = (await _api.GetAsync("/openapi/v1.json"))["paths"]!.AsObject();

        Assert.Equal(
            [
                "/v1/artifacts", "/v1/artifacts/{digest}", "/v1/datasets", "/v1/datasets/{name}", "/v1/events", "/v1/keys", "/v1/keys/{id}", "/v1/models", "/v1/models/{id}", "/v1/pipelines", "/v1/pipelines/validate",
                "/v1/pipelines/{name}", "/v1/runs", "/v1/runs/{id}", "/v1/runs/{id}/cancel", "/v1/runs/{id}/resume", "/v1/runs/{id}/steps/{step}", "/v1/runs/{id}/steps/{step}/logs",
                "/v1/runs/{id}/steps/{step}/outputs", "/v1/runs/{id}/steps/{step}/report", "/v1/transformers", "/v1/transformers/{worker}/{name}", "/v1/uploads", "/v1/uploads/{id}",
            ],
            paths.Select(p => p.Key.Length > 1 ? p.Key.TrimEnd('/') : p.Key).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task The_description_says_how_keys_are_sent_and_which_scope_each_operation_needs()
    {
        var document = await _api.GetAsync("/openapi/v1.json");

        var scheme = document["components"]!["securitySchemes"]!["key"]!;
        Assert.Equal(("http", "bearer"), ((string?)scheme["type"], (string?)scheme["scheme"]));
        string[] Needs(string path, string method) => [.. document["paths"]![path]![method]!["security"]!.AsArray().SelectMany(s => s!["key"]!.AsArray()).Select(s => (string)s!)];
        Assert.Equal(["runs:read"], Needs("/v1/runs/{id}", "get"));
        Assert.Equal(["artifacts:write"], Needs("/v1/artifacts", "post"));
        Assert.All(document["paths"]!.AsObject().SelectMany(p => p.Value!.AsObject()), operation =>
        {
            Assert.Single(operation.Value!["security"]!.AsArray());
            Assert.All((string[])["401", "403", "429"], status => Assert.NotNull(operation.Value!["responses"]![status]));
        });
    }
}
