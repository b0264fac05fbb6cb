using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Serving.Tests;

/// <summary>Open Inference Protocol v2: what goes in comes out as ONNX Runtime itself answers it.</summary>
public sealed class InferTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_network_answers_as_it_does_in_ONNX_Runtime()
    {
        File.Copy(Networks.Sample, Path.Combine(_folder.Path, "fashion.onnx"));
        await using var server = await RunningServer.StartAsync(_folder.Path);
        var described = await server.GetAsync("v2/models/fashion");
        var input = described["inputs"]![0]!;
        var (name, random) = ((string)input["name"]!, new Random(5));
        var data = Enumerable.Range(0, 2 * 28 * 28).Select(_ => random.NextSingle()).ToArray();
        long[] shape = [2, .. input["shape"]!.AsArray().Skip(1).Select(d => (long)d!)];

        var answer = await server.AnswerAsync("fashion", Request(new JsonObject
        {
            ["name"] = name, ["datatype"] = "FP32", ["shape"] = JsonSerializer.SerializeToNode(shape), ["data"] = JsonSerializer.SerializeToNode(data),
        }));

        var output = answer["outputs"]![0]!;
        Assert.Equal(("fashion", "1", "7", "FP32", "[2,10]"), ((string?)answer["model_name"], (string?)answer["model_version"], (string?)answer["id"], (string?)output["datatype"], output["shape"]!.ToJsonString()));
        Assert.Equal(Networks.Run(Networks.Sample, name, shape, data), output["data"]!.AsArray().Select(v => (float)v!));
    }

    public static TheoryData<string, string, string> Values => new()
    {
        { "BOOL", "[true,false,true]", "010001" },
        { "UINT8", "[0,1,255]", "0001FF" },
        { "INT8", "[-128,0,127]", "80007F" },
        { "UINT16", "[0,1,65535]", "00000100FFFF" },
        { "INT16", "[-32768,0,32767]", "00800000FF7F" },
        { "UINT32", "[0,1,4294967295]", "0000000001000000FFFFFFFF" },
        { "INT32", "[-2147483648,0,2147483647]", "0000008000000000FFFFFF7F" },
        { "UINT64", "[0,1,18446744073709551615]", "00000000000000000100000000000000FFFFFFFFFFFFFFFF" },
        { "INT64", "[-9223372036854775808,0,9223372036854775807]", "00000000000000800000000000000000FFFFFFFFFFFFFF7F" },
        { "FP16", "[-1.5,0,65504]", "00BE0000FF7B" },
        { "FP32", "[-1.5,0,3.4028235E+38]", "0000C0BF00000000FFFF7F7F" },
        { "FP64", "[-1.5,0,1.7976931348623157E+308]", "000000000000F8BF0000000000000000FFFFFFFFFFFFEF7F" },
        { "BYTES", "[\"\",\"a\",\"\u00fc\U0001F600\"]", "00000000010000006106000000C3BCF09F9880" },
    };

    [Theory]
    [MemberData(nameof(Values))]
    public async Task Every_type_goes_through_as_JSON_and_as_bytes(string datatype, string json, string bytes)
    {
        Networks.Write(Path.Combine(_folder.Path, "same.onnx"), $"""
            in x: {Networks.Types.Single(t => t.Datatype == datatype).Onnx}[3]
            y = Identity(x)
            out y
            """);
        await using var server = await RunningServer.StartAsync(_folder.Path);
        var raw = Convert.FromHexString(bytes);

        var asJson = await server.AnswerAsync("same", Request(new JsonObject { ["name"] = "x", ["datatype"] = datatype, ["shape"] = new JsonArray(3), ["data"] = JsonNode.Parse(json) }));
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(json), asJson["outputs"]![0]!["data"]), asJson.ToJsonString());

        var (answer, tail) = await BinaryAsync(server, "same", Request(new JsonObject
        {
            ["name"] = "x", ["datatype"] = datatype, ["shape"] = new JsonArray(3), ["parameters"] = new JsonObject { ["binary_data_size"] = raw.Length },
        }, new JsonObject { ["name"] = "y", ["parameters"] = new JsonObject { ["binary_data"] = true } }), raw);
        Assert.Equal(raw.Length, (int)answer["outputs"]![0]!["parameters"]!["binary_data_size"]!);
        Assert.Equal(bytes, Convert.ToHexString(tail));
    }

    [Fact]
    public async Task Data_may_be_nested_as_the_shape_says_and_come_before_it()
    {
        Networks.Write(Path.Combine(_folder.Path, "same.onnx"), """
            in x: float[N,2,3]
            y = Identity(x)
            out y
            """);
        await using var server = await RunningServer.StartAsync(_folder.Path);

        var nested = await server.AnswerAsync("same", JsonNode.Parse("""{"inputs":[{"data":[[[1,2,3],[4,5,6]],[[7,8,9],[10,11,12]]],"shape":[2,2,3],"datatype":"FP32","name":"x"}],"later":{"a":[1]}}""")!);
        Assert.Equal(Enumerable.Range(1, 12), nested["outputs"]![0]!["data"]!.AsArray().Select(v => (int)v!));
        var empty = await server.AnswerAsync("same", JsonNode.Parse("""{"inputs":[{"data":[],"shape":[0,2,3],"datatype":"FP32","name":"x"}]}""")!);
        Assert.Equal("[0,2,3]", empty["outputs"]![0]!["shape"]!.ToJsonString());
    }

    [Fact]
    public async Task Several_inputs_and_outputs_each_come_as_they_were_asked_for()
    {
        Networks.Write(Path.Combine(_folder.Path, "two.onnx"), """
            in a: float[2]
            in b: float[2]
            s = Add(a, b)
            d = Sub(a, b)
            out s
            out d
            """);
        await using var server = await RunningServer.StartAsync(_folder.Path);
        var (b, both) = (new JsonObject { ["name"] = "b", ["datatype"] = "FP32", ["shape"] = new JsonArray(2), ["data"] = new JsonArray(10, 20) }, new byte[8]);
        BinaryPrimitives.WriteSingleLittleEndian(both, 1);
        BinaryPrimitives.WriteSingleLittleEndian(both.AsSpan(4), 2);
        var a = new JsonObject { ["name"] = "a", ["datatype"] = "FP32", ["shape"] = new JsonArray(2), ["parameters"] = new JsonObject { ["binary_data_size"] = 8 } };

        var request = new JsonObject
        {
            ["inputs"] = new JsonArray(b, a),
            ["outputs"] = new JsonArray(new JsonObject { ["name"] = "d", ["parameters"] = new JsonObject { ["binary_data"] = false } }, new JsonObject { ["name"] = "s" }),
            ["parameters"] = new JsonObject { ["binary_data_output"] = true },
        };
        var (answer, tail) = await BinaryAsync(server, "two", request, both);

        Assert.Equal(["d", "s"], answer["outputs"]!.AsArray().Select(o => (string?)o!["name"]));
        Assert.Equal("[-9,-18]", answer["outputs"]![0]!["data"]!.ToJsonString());
        Assert.Equal([11f, 22f], MemoryMarshal.Cast<byte, float>(tail).ToArray());
        Assert.Null(answer["outputs"]![1]!["data"]);
    }

    [Fact]
    public async Task What_JSON_cannot_carry_is_said_and_comes_as_bytes()
    {
        Networks.Write(Path.Combine(_folder.Path, "log.onnx"), """
            in x: float[2]
            y = Log(x)
            out y
            """);
        await using var server = await RunningServer.StartAsync(_folder.Path);
        const string Inputs = """{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[0,-1]}]""";

        var (status, code, error) = await server.RefusalAsync("log", Inputs + "}");
        Assert.Equal((422, "not-finite"), (status, code));
        Assert.Contains("'y' holds NaN or an infinity", error, StringComparison.Ordinal);
        var (_, tail) = await BinaryAsync(server, "log", JsonNode.Parse(Inputs + ""","parameters":{"binary_data_output":true}}""")!, []);
        Assert.Equal([float.NegativeInfinity, float.NaN], MemoryMarshal.Cast<byte, float>(tail).ToArray());
    }

    [Fact]
    public async Task Several_models_are_served_side_by_side()
    {
        File.Copy(Networks.Sample, Path.Combine(_folder.Path, "fashion.onnx"));
        Networks.Write(Path.Combine(_folder.Path, "same-2.onnx"), """
            in x: int64[]
            y = Identity(x)
            out y
            """);
        await using var server = await RunningServer.StartAsync(_folder.Path);

        Assert.Equal("fashion", (string?)(await server.GetAsync("v2/models/fashion/versions/1"))["name"]);
        var answer = await server.AnswerAsync("same-2/versions/1", JsonNode.Parse("""{"inputs":[{"name":"x","datatype":"INT64","shape":[],"data":[-5]}]}""")!);
        Assert.Equal("[-5]", answer["outputs"]![0]!["data"]!.ToJsonString());
        var metrics = await server.Http.GetStringAsync("metrics", RunningServer.Cancellation);
        Assert.Contains("model_server_requests_total{model=\"same-2\",status=\"200\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("model_server_inference_seconds_count{model=\"same-2\"} 1\n", metrics, StringComparison.Ordinal);
    }

    private static JsonObject Request(JsonObject input, JsonObject? output = null)
    {
        var request = new JsonObject { ["id"] = "7", ["inputs"] = new JsonArray(input) };
        if (output is not null)
            request["outputs"] = new JsonArray(output);
        return request;
    }

    private static async Task<(JsonNode Answer, byte[] Tail)> BinaryAsync(RunningServer server, string model, JsonNode request, byte[] raw)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(request);
        using var answer = await server.SendAsync(model, [.. json, .. raw], json.Length);
        var body = await answer.Content.ReadAsByteArrayAsync(RunningServer.Cancellation);
        Assert.True(answer.IsSuccessStatusCode, Encoding.UTF8.GetString(body));
        var length = int.Parse(answer.Headers.GetValues("Inference-Header-Content-Length").Single(), System.Globalization.CultureInfo.InvariantCulture);
        return (JsonNode.Parse(body.AsSpan(0, length))!, body[length..]);
    }
}
