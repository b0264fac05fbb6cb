using System.Net;
using System.Text;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Serving.Tests;

/// <summary>Whatever is wrong with a request is said by name, with what is expected.</summary>
public sealed class RefusalTests : IDisposable
{
    private const string Good = "\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[2,2]";
    private const string Four = "\"data\":[1,2,3,4]";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("", "malformed-request", "The body is empty. Expected a request for an inference as JSON.")]
    [InlineData("{", "malformed-json", "The request is no JSON that can be read: Expected depth to be zero")]
    [InlineData("[]", "malformed-json", "The request is no JSON that can be read: expected an object, got StartArray at byte 0.")]
    [InlineData("{\"inputs\":[]} 1", "malformed-json", "The request is no JSON that can be read:")]
    [InlineData("{\"id\":7,\"inputs\":[]}", "malformed-json", "The request is no JSON that can be read: expected a string as id, got Number at byte 6.")]
    [InlineData("{\"id\":\"\\ud800\",\"inputs\":[]}", "malformed-json", "The request holds a string that is no valid Unicode text.")]
    [InlineData("{}", "malformed-request", "The request has no 'inputs'.")]
    [InlineData("{\"inputs\":{}}", "malformed-json", "The request is no JSON that can be read: expected an array as inputs, got StartObject at byte 10.")]
    [InlineData("{\"inputs\":[7]}", "malformed-json", "The request is no JSON that can be read: expected an object, got Number at byte 11.")]
    [InlineData("{\"inputs\":[]}", "wrong-tensors", "Model 'net' cannot be run on these tensors: input 'x' is missing: the model takes it as FP32 [any, 2].")]
    [InlineData("{\"inputs\":[{" + Good + "," + Four + "},{" + Good + "," + Four + "}]}", "wrong-tensors", "Model 'net' cannot be run on these tensors: input 'x' is there several times: the model takes it as FP32 [any, 2].")]
    [InlineData("{\"inputs\":[{\"name\":\"z\"}],\"outputs\":[{\"name\":\"q\"}]}", "wrong-tensors",
        "Model 'net' cannot be run on these tensors: input 'x' is missing: the model takes it as FP32 [any, 2]; there is no input 'z': the model has 'x'; there is no output 'q': the model has 'y'.")]
    [InlineData("{\"inputs\":[{\"name\":\"x\"}]}", "wrong-tensors", "Model 'net' cannot be run on these tensors: input 'x' has the datatype nowhere, expected FP32; input 'x' has no shape, expected FP32 [any, 2].")]
    [InlineData("{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT8\",\"shape\":[2,3]," + Four + "}]}", "wrong-tensors",
        "Model 'net' cannot be run on these tensors: input 'x' has the datatype 'INT8', expected FP32; input 'x' has the shape [2, 3], expected FP32 [any, 2]")]
    [InlineData("{\"inputs\":[{" + Good + "}]}", "wrong-tensors", "Model 'net' cannot be run on these tensors: input 'x' has neither data nor binary_data_size: expected one of them.")]
    [InlineData("{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,2]," + Four + "}]}", "malformed-json", "The request is no JSON that can be read: expected at most 16 whole numbers from 0 as shape, got Number at byte 50.")]
    [InlineData("{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[4611686018427387904,2]," + Four + "}]}", "wrong-tensors",
        "Model 'net' cannot be run on these tensors: the data of input 'x' has fewer elements than its shape [4611686018427387904, 2] says.")]
    [InlineData("{\"inputs\":[{" + Good + ",\"data\":[1,2,3 ]}]}", "malformed-request", "The data of input 'x' has fewer elements than its shape [2, 2] says.")]
    [InlineData("{\"inputs\":[{" + Good + ",\"data\":[1,2,3,4,5]}]}", "malformed-request", "The data of input 'x' has more elements than its shape [2, 2] says.")]
    [InlineData("{\"inputs\":[{" + Good + ",\"data\":[[1,2],[3]]}]}", "malformed-request", "The data of input 'x' has fewer elements than its shape [2, 2] says.")]
    [InlineData("{\"inputs\":[{" + Good + ",\"data\":[[1,2],3,4]}]}", "malformed-request", "The data of input 'x' is neither flat nor nested as its shape [2, 2] says.")]
    [InlineData("{\"inputs\":[{" + Good + ",\"data\":[[1,2],[3,4],[5,6]]}]}", "malformed-request", "The data of input 'x' is neither flat nor nested as its shape [2, 2] says.")]
    [InlineData("{\"inputs\":[{" + Good + ",\"data\":[1,2,\"3\",4]}]}", "malformed-request", "Element 2 of input 'x' is 3, expected FP32.")]
    [InlineData("{\"inputs\":[{" + Good + ",\"data\":[1,2,3,1e39]}]}", "malformed-request", "Element 3 of input 'x' is 1e39, expected FP32.")]
    [InlineData("{\"inputs\":[{" + Good + ",\"data\":[1,2,null,4]}]}", "malformed-request", "Element 2 of input 'x' is Null, expected FP32.")]
    [InlineData("{\"inputs\":[{" + Good + ",\"data\":7}]}", "malformed-json", "The request is no JSON that can be read: expected an array as data, got Number")]
    [InlineData("{\"inputs\":[{" + Good + ",\"parameters\":{\"binary_data_size\":8}}]}", "malformed-request", "The binary inputs have 8 bytes by binary_data_size, and 0 bytes follow the JSON.")]
    [InlineData("{\"inputs\":[{" + Good + "," + Four + ",\"parameters\":{\"binary_data_size\":0}}]}", "wrong-tensors", "Model 'net' cannot be run on these tensors: input 'x' has data and binary_data_size: expected one of them.")]
    [InlineData("{\"inputs\":[{" + Good + "," + Four + "}],\"outputs\":[{\"name\":\"y\"},{\"name\":\"y\"}]}", "wrong-tensors", "Model 'net' cannot be run on these tensors: output 'y' is asked for several times.")]
    [InlineData("{\"inputs\":[{" + Good + "," + Four + "}],\"outputs\":[{}]}", "malformed-request", "An entry of 'outputs' has no name.")]
    [InlineData("{\"inputs\":[{" + Good + "," + Four + "}],\"outputs\":[{\"name\":\"y\",\"parameters\":{\"classification\":3}}]}", "malformed-request", "The parameter 'classification' is not known here: outputs come as they are.")]
    public async Task A_request_that_cannot_be_served_is_told_why(string body, string code, string error)
    {
        await using var server = await StartAsync();

        var refusal = await server.RefusalAsync("net", body);

        Assert.Equal((400, code), (refusal.Status, refusal.Code));
        Assert.StartsWith(error, refusal.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(4, 4, "input 'x' has 4 bytes, expected 16 for FP32 [2, 2]")]
    [InlineData(16, 12, "The binary inputs have 16 bytes by binary_data_size, and 12 bytes follow the JSON.")]
    [InlineData(16, 20, "The binary inputs have 16 bytes by binary_data_size, and 20 bytes follow the JSON.")]
    public async Task Bytes_that_do_not_fit_are_counted(int said, int sent, string error)
    {
        await using var server = await StartAsync();
        var json = $$$"""{"inputs":[{{{{Good}}},"parameters":{"binary_data_size":{{{said}}}}}]}""";

        var refusal = await server.RefusalAsync("net", json + new string('\0', sent), Encoding.UTF8.GetByteCount(json));

        Assert.Equal(400, refusal.Status);
        Assert.Contains(error, refusal.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("01000000", "String 0 of input 's' goes beyond its 4 bytes.")]
    [InlineData("FFFFFFFF61", "String 0 of input 's' goes beyond its 5 bytes.")]
    [InlineData("010000006162", "1 bytes follow the last string of input 's'.")]
    [InlineData("02000000C328", "String 0 of input 's' is no UTF-8.")]
    public async Task Strings_that_cannot_be_read_are_named(string bytes, string error)
    {
        Networks.Write(Path.Combine(_folder.Path, "text.onnx"), """
            in s: string[1]
            t = Identity(s)
            out t
            """);
        await using var server = await StartAsync();
        var raw = Convert.FromHexString(bytes);
        var json = Encoding.UTF8.GetBytes($$$"""{"inputs":[{"name":"s","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":{{{raw.Length}}}}}]}""");

        using var answer = await server.SendAsync("text", [.. json, .. raw], json.Length);

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Contains(error, await answer.Content.ReadAsStringAsync(RunningServer.Cancellation), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"\\ud800\"", "String 0 of input 's' is no valid Unicode text.")]
    [InlineData("7", "Element 0 of input 's' is 7, expected BYTES.")]
    public async Task Strings_in_JSON_that_are_no_text_are_named(string element, string error)
    {
        Networks.Write(Path.Combine(_folder.Path, "text.onnx"), """
            in s: string[1]
            t = Identity(s)
            out t
            """);
        await using var server = await StartAsync();

        Assert.Equal((400, "malformed-request", error), await server.RefusalAsync("text", $$$"""{"inputs":[{"name":"s","datatype":"BYTES","shape":[1],"data":[{{{element}}}]}]}"""));
    }

    [Fact]
    public async Task Inputs_that_the_network_itself_refuses_are_the_clients_matter()
    {
        Networks.Write(Path.Combine(_folder.Path, "gather.onnx"), """
            in i: int64[1]
            const table: float[3] = 1 2 3
            y = Gather(table, i)
            out y
            """);
        await using var server = await StartAsync();

        var refusal = await server.RefusalAsync("gather", """{"inputs":[{"name":"i","datatype":"INT64","shape":[1],"data":[3]}]}""");

        Assert.Equal((400, "not-runnable"), (refusal.Status, refusal.Code));
        Assert.StartsWith("Model 'gather' does not take these inputs: ", refusal.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET", "v2/models/other", 404, "no-such-model", "There is no model 'other' here. There is 'net'.")]
    [InlineData("GET", "v2/models/net/versions/2", 404, "no-such-version", "Model 'net' has no version '2' here, but 1.")]
    [InlineData("GET", "", 404, "no-such-route", "There is nothing at /. There is /v2/health/live")]
    [InlineData("GET", "v2/models/net/later", 404, "no-such-route", "There is nothing at /v2/models/net/later.")]
    [InlineData("GET", "v2/models/%1b%5b31m", 404, "no-such-model", "There is no model '?[31m' here.")]
    [InlineData("GET", "v2/models/net/infer", 405, "method-not-allowed", "GET /v2/models/net/infer is not served; POST is.")]
    [InlineData("DELETE", "v2/models/net", 405, "method-not-allowed", "DELETE /v2/models/net is not served; GET is.")]
    public async Task A_route_that_there_is_not_is_told_what_there_is(string method, string path, int status, string code, string error)
    {
        await using var server = await StartAsync();
        using var request = new HttpRequestMessage(new HttpMethod(method), path);

        using var answer = await server.Http.SendAsync(request, RunningServer.Cancellation);

        var problem = System.Text.Json.Nodes.JsonNode.Parse(await answer.Content.ReadAsStringAsync(RunningServer.Cancellation))!;
        Assert.Equal((status, code), ((int)answer.StatusCode, (string?)problem["code"]));
        Assert.StartsWith(error, (string?)problem["error"], StringComparison.Ordinal);
        Assert.Equal(status == 405, answer.Content.Headers.Allow.Count == 1);
    }

    private Task<RunningServer> StartAsync()
    {
        if (!Directory.EnumerateFiles(_folder.Path).Any())
        {
            Networks.Write(Path.Combine(_folder.Path, "net.onnx"), """
                in x: float[N,2]
                y = Relu(x)
                out y
                """);
        }
        return RunningServer.StartAsync(_folder.Path);
    }
}
