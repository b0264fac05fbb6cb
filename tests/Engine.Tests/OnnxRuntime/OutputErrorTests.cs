using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Tests.Graphs;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

public sealed class OutputErrorTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>A step from 0 to 1 that is as good as vertical.</summary>
    private static byte[] Step(string at) => OnnxFile.ToBytes(GraphText.Parse($"""
        in x: float[N,2]
        const at: float[] = {at}
        const steep: float[] = 1e9
        const low: float[] = 0
        const high: float[] = 1
        d = Sub(x, at)
        s = Mul(d, steep)
        y = Clip(s, low, high)
        out y
        """));

    private Dataset Samples(params float[] values) => Dataset.Open(_folder.Write("x.npy", ArrayWriter.Npy("<f4", [values.Length / 2, 2], values)));

    private static OutputError Of(Dataset samples, int draws) => new(Step("0.5"), samples, 64, draws, TestContext.Current.CancellationToken);

    [Fact]
    public void Sees_an_error_that_one_input_misses_by_luck()
    {
        // Both steps lie on the same side of 0.5002, and many numbers less than 1/512 from it lie between them.
        var (samples, shifted) = (Samples(0.5002f, 1), Step("0.5001"));
        var once = Of(samples, 1).Of(shifted);
        Assert.Equal((200, 200), (once.Decibels, once.ReliableDecibels));
        var drawn = Of(samples, 64).Of(shifted);
        Assert.InRange(drawn.Decibels, 3, 40);
        Assert.InRange(drawn.ReliableDecibels, -20, drawn.Decibels - 0.1);
        Assert.Equal(drawn, Of(samples, 64).Of(shifted));
    }

    [Fact]
    public void The_worst_draw_is_compared_with_what_one_draw_holds()
    {
        // Far from both steps every draw gives [1, 1] and [0, 1]: the noise is half of the signal's energy in each.
        var error = Of(Samples(0.7f, 1), 8).Of(Step("0.9"));
        Assert.Equal(10 * Math.Log10(2), error.Decibels, 1e-3);
        Assert.Equal(error.Decibels, error.ReliableDecibels, 1e-3);
    }

    [Theory]
    [InlineData(2, 2)]
    [InlineData(3, 6)]
    public void Copies_are_made_only_of_fewer_feeds_than_draws(int draws, int feeds) => Assert.Equal(feeds, Of(Samples(0.1f, 0.2f, 0.8f, 0.9f), draws).Feeds);

    [Fact]
    public void Copies_differ_by_less_than_rounding_to_8_bits_and_integers_not_at_all()
    {
        var model = OnnxFile.ToBytes(GraphText.Parse("in x: int64[N,2]\ny = Cast(x) to=1\nout y"));
        var samples = Dataset.Open(_folder.Write("n.npy", ArrayWriter.Npy("<i8", [1, 2], [7L, -3L])));
        var integers = new OutputError(model, samples, 64, 3, TestContext.Current.CancellationToken);
        Assert.All(integers.AllFeeds, f => Assert.Equal([7L, -3L], f[0].As<long>().ToArray()));
        var floats = Of(Samples(2, 0), 3);
        Assert.All(floats.AllFeeds, f => Assert.InRange(f[0].As<float>()[0], 2 - (2f / 512), 2 + (2f / 512)));
        Assert.Equal(3, floats.AllFeeds.Select(f => f[0].As<float>()[0]).Distinct().Count());
        Assert.Equal([2, 0], floats.AllFeeds[0][0].As<float>().ToArray());
    }
}
