using System.Globalization;
using SkiaSharp;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>The commands about networks of this machine: no server is started for them.</summary>
public sealed class NetworkCommandTests
{
    private static readonly string Data = Samples.Evaluation["evaluation=".Length..];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Inspect_says_what_the_sample_network_is()
    {
        var json = (await TinymlCommand.RunAsync(Cancellation, "inspect", Samples.Model, "--json")).Expect(0).Json;
        Assert.Equal(["inputs", "outputs", "opset", "parameters", "macs", "bytes", "operators", "peakActivationBytes"], json.EnumerateObject().Select(p => p.Name));
        Assert.Equal("[\"batch\",1,28,28]", json.GetProperty("inputs")[0].GetProperty("shape").GetRawText().ReplaceLineEndings("").Replace(" ", "", StringComparison.Ordinal));
        // Counted by the recipe when it made the network; the statistics of its 11 normalizations come on top of what was trained.
        Assert.Equal((11, 4_392_384, 652_672), (json.GetProperty("opset").GetInt32(), json.GetProperty("macs").GetInt64(), json.GetProperty("bytes").GetInt64()));
        Assert.Equal(11, json.GetProperty("operators").GetProperty("BatchNormalization").GetInt32());
        // 16 channels of 28 x 28 floats, read and written by the first normalization.
        Assert.Equal(2 * 16 * 28 * 28 * 4, json.GetProperty("peakActivationBytes").GetInt64());
        Assert.Contains("4,392,384", (await TinymlCommand.RunAsync(Cancellation, "inspect", Samples.Model)).Expect(0).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Eval_measures_what_the_recipe_measured()
    {
        var json = (await TinymlCommand.RunAsync(Cancellation, "eval", Samples.Model, "--dataset", Data, "--json")).Expect(0).Json;
        Assert.Equal(["metric", "value", "samples", "latencyMs"], json.EnumerateObject().Select(p => p.Name));
        Assert.Equal(("top1", 1000), (json.GetProperty("metric").GetString(), json.GetProperty("samples").GetInt32()));
        Assert.InRange(json.GetProperty("value").GetDouble(), 0.924, 0.928);
        Assert.True(json.GetProperty("latencyMs").GetDouble() > 0);
    }

    [Fact]
    public async Task Eval_takes_a_folder_of_pictures_for_what_was_drawn_into_it()
    {
        using var folder = new TemporaryFolder();
        var data = Dataset.Open(Data).Bind([new SampleInput("input", ElementType.Float, ["batch", 1, 28, 28])]);
        foreach (var sample in data.Samples())
        {
            // A folder for each class, named so that the order of names is that of labels.
            var place = Directory.CreateDirectory(Path.Combine(folder.Path, sample.Label!.Value.ToString(CultureInfo.InvariantCulture)));
            using var picture = SKImage.FromPixelCopy(new SKImageInfo(28, 28, SKColorType.Gray8), [.. sample.Feeds.Single()[0].As<float>().ToArray().Select(v => (byte)Math.Round(v * 255))]);
            using var png = picture.Encode(SKEncodedImageFormat.Png, 100);
            await File.WriteAllBytesAsync(Path.Combine(place.FullName, string.Create(CultureInfo.InvariantCulture, $"{sample.Index:D4}.png")), png.ToArray(), Cancellation);
        }
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "dataset.yaml"), "inputs:\n  input: { pictures: ., width: 28, height: 28, channels: grey, layout: NHWC->NCHW, scale: 0.00392156862745098 }\n", Cancellation);

        var arrays = (await TinymlCommand.RunAsync(Cancellation, "eval", Samples.Model, "--dataset", Data, "--json")).Expect(0).Json;
        var pictures = (await TinymlCommand.RunAsync(Cancellation, "eval", Samples.Model, "--dataset", folder.Path, "--json")).Expect(0).Json;

        Assert.Equal((1000, arrays.GetProperty("value").GetDouble()), (pictures.GetProperty("samples").GetInt32(), pictures.GetProperty("value").GetDouble()));
        await File.WriteAllBytesAsync(Path.Combine(folder.Path, "3", "zz.png"), [1, 2, 3], Cancellation);
        Assert.Contains("Cannot read the picture '3/zz.png'", (await TinymlCommand.RunAsync(Cancellation, "eval", Samples.Model, "--dataset", folder.Path)).Expect(2).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Compare_holds_a_network_against_another()
    {
        var json = (await TinymlCommand.RunAsync(Cancellation, "compare", Samples.Model, Samples.Model, "--dataset", Data, "--json")).Expect(0).Json;
        Assert.Equal(["metricName", "a", "b", "sqnrDb", "agreement", "maxAbsDiff", "samples"], json.EnumerateObject().Select(p => p.Name));
        Assert.Equal((200d, 1d, 0d, 1000), (json.GetProperty("sqnrDb").GetDouble(), json.GetProperty("agreement").GetDouble(), json.GetProperty("maxAbsDiff").GetDouble(), json.GetProperty("samples").GetInt32()));
        foreach (var side in (string[])["a", "b"])
        {
            Assert.Equal(["bytes", "metric", "latencyMs"], json.GetProperty(side).EnumerateObject().Select(p => p.Name));
            Assert.InRange(json.GetProperty(side).GetProperty("metric").GetDouble(), 0.924, 0.928);
        }
    }

    [Theory]
    [InlineData("file-not-found", "There is no model 'absent.onnx'", "inspect", "absent.onnx")]
    [InlineData("file-not-found", "There is no dataset 'absent.npz'", "eval", "MODEL", "--dataset", "absent.npz")]
    [InlineData("invalid-model", "cannot be used", "inspect", "DATA")]
    [InlineData("bad-command-line", "f1", "eval", "MODEL", "--dataset", "DATA", "--metric", "f1")]
    [InlineData("unsuitable-metric", "as large as the first input", "eval", "MODEL", "--dataset", "DATA", "--metric", "mse")]
    public async Task What_is_wrong_is_said_and_ends_with_exit_code_2(string code, string says, params string[] arguments)
    {
        var result = (await TinymlCommand.RunAsync(Cancellation, [.. arguments.Select(a => a switch { "MODEL" => Samples.Model, "DATA" => Data, _ => a }), "--json"])).Expect(2);
        Assert.Contains(says, result.Error, StringComparison.Ordinal);
        Assert.Equal(code, Assert.Single(result.Json.GetProperty("problems").EnumerateArray()).GetProperty("code").GetString());
    }
}
