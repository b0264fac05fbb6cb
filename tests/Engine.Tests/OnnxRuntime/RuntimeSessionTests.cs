using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

public sealed class RuntimeSessionTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static readonly byte[] Scaled = OnnxFile.ToBytes(GraphText.Parse("in x: float[batch,2]\nin n: int64[1]\nconst two: float[] = 2\na = Mul(x, two)\nb = Add(n, n)\nout a\nout b"));

    [Fact]
    public void Tells_and_runs_inputs_and_outputs_in_the_networks_order()
    {
        using var session = RuntimeSession.Open(Scaled, cancellation: TestContext.Current.CancellationToken);
        Assert.Equal(["'x' Float[batch,2]", "'n' Int64[1]"], session.Inputs.Select(i => i.ToString()));
        Assert.Equal(["a", "b"], session.OutputNames);
        var outputs = session.Run([Tensor.From<float>([1, 2], [1, -3]), Tensor.Vector(5L)]);
        Assert.Equal([2f, -6], outputs[0].As<float>().ToArray());
        Assert.Equal([1, 2], outputs[0].Shape);
        Assert.Equal([10L], outputs[1].As<long>().ToArray());
    }

    [Fact]
    public void Refuses_networks_and_feeds_that_the_runtime_does_not_take()
    {
        var unknown = OnnxFile.ToBytes(GraphText.Parse("in x: float[2]\ny = NoSuchOperator(x)\nout y"));
        var refusal = Assert.Throws<TransformRejectedException>(() => RuntimeSession.Open(unknown, cancellation: TestContext.Current.CancellationToken));
        Assert.Equal("model-not-runnable", refusal.Code);
        Assert.Contains("NoSuchOperator", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("NoSuchOperator", LoadCheck.WhyNot(unknown), StringComparison.Ordinal);
        Assert.Null(LoadCheck.WhyNot(Scaled));
        using var session = RuntimeSession.Open(Scaled, cancellation: TestContext.Current.CancellationToken);
        Assert.Equal("model-not-runnable", Assert.Throws<TransformRejectedException>(() => session.Run([Tensor.From<float>([1, 3], [1, 2, 3]), Tensor.Vector(5L)])).Code);
    }

    [Fact]
    public void Carries_state_from_feed_to_feed_and_starts_each_sample_anew()
    {
        // The state adds up twice the steps, from 100 on.
        using var session = RuntimeSession.Open(OnnxFile.ToBytes(GraphText.Parse("in s: float[N,1]\nin by: float[]\nin x: float[N,1]\nm = Mul(x, by)\nr = Add(m, s)\nz = Neg(r)\nout z\nout r")), cancellation: TestContext.Current.CancellationToken);
        var bound = session.Bind(Steps("s: { value: 100, from-output: r }, by: { value: 2 }"));
        for (var round = 0; round < 2; round++)
            Assert.Equal([-102f, -106, -112, -108, -118, -130], bound.Samples().SelectMany(s => s.Feeds.Select(f => session.Run(f)[0].As<float>()[0])));
    }

    [Theory]
    [InlineData("none", "the network has no such output; it has 'y', 'n', 'wide'")]
    [InlineData("n", "that output is Int64; the two must agree")]
    [InlineData("wide", "that output has the shape [2,1]; the two must agree")]
    public void Refuses_to_carry_what_the_network_does_not_give(string output, string says)
    {
        using var session = RuntimeSession.Open(OnnxFile.ToBytes(GraphText.Parse("in s: float[1,1]\nin x: float[1,1]\nconst w: float[2,1] = 1 2\ny = Add(x, s)\nn = Cast(x) to=7\nwide = Mul(w, s)\nout y\nout n\nout wide")), cancellation: TestContext.Current.CancellationToken);
        var refusal = Assert.Throws<TransformRejectedException>(() => session.Bind(Steps($"s: {{ from-output: {output} }}")));
        Assert.Equal("invalid-dataset", refusal.Code);
        Assert.Contains(says, refusal.Message, StringComparison.Ordinal);
    }

    // Two samples of three steps: 1, 2, 3 and 4, 5, 6.
    private Dataset Steps(string inputs)
    {
        _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [2, 3], 1, 2, 3, 4, 5, 6));
        return Dataset.Open(_folder.Write("steps.yaml", $"inputs: {{ x: x.npy, {inputs} }}\nwindow: {{ length: 1, flatten: true }}\n"));
    }

    [Fact]
    public async Task Ends_a_run_under_way_when_cancelled()
    {
        // A loop far longer than the test waits, so that only the cancellation can end it.
        var endless = OnnxFile.ToBytes(Endless());
        using var cancellation = new CancellationTokenSource();
        using var session = RuntimeSession.Open(endless, cancellation: cancellation.Token);
        var run = Task.Run(() => session.Run([Tensor.From<float>([400, 400], new float[160_000])]), TestContext.Current.CancellationToken);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Takes_the_median_of_each_networks_turns()
    {
        var clock = new SteppingClock();
        var times = Latency.MedianMilliseconds([Scaled, Scaled], clock, [Tensor.From<float>([1, 2], [1, 2]), Tensor.Vector(1L)], runs: 5, TestContext.Current.CancellationToken);
        // The clock goes on by one more at each reading. Six readings start the untimed turns; then each turn takes two and lasts what the second adds: 7, 11, 15, 19, 23 and 9, 13, 17, 21, 25.
        Assert.Equal([15, 17], times);
        Assert.Equal(1.5, Latency.Median([9, 1, 2, 0]));
    }

    private static Model Endless()
    {
        var lines = new List<string> { "in x: float[400,400]", "v0 = MatMul(x, x)" };
        for (var i = 0; i < 20_000; i++)
            lines.Add($"v{i + 1} = MatMul(v{i}, x)");
        lines.Add("out v20000");
        return GraphText.Parse(string.Join('\n', lines));
    }

    private sealed class SteppingClock : TimeProvider
    {
        private int _readings;
        private long _now;

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => _now += _readings++;
    }
}
