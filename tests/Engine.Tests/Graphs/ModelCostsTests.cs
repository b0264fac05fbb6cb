using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Tests.Graphs;

public sealed class ModelCostsTests
{
    // Parameters and multiply-accumulates, counted by hand.
    [Theory]
    [InlineData("const w: float[4,3,3,3] ~ 1\nconst b: float[4] ~ 2\ny = Conv(x, w, b) pads=[1,1,1,1]", 112, 4 * 8 * 8 * 27)]
    [InlineData("const w: float[3,1,3,3] ~ 1\ny = Conv(x, w) group=3 strides=[2,2]", 27, 3 * 3 * 3 * 9)]
    [InlineData("const w: float[3,2,2,2] ~ 1\ny = ConvTranspose(x, w) strides=[2,2]", 24, 3 * 8 * 8 * 2 * 4)]
    [InlineData("const w: float[5,192] ~ 1\nf = Flatten(x)\ny = Gemm(f, w) transB=1", 960, 960)]
    [InlineData("const w: float[192,5] ~ 1\nf = Flatten(x)\ny = MatMul(f, w)", 960, 960)]
    [InlineData("t = Transpose(x) perm=[0,1,3,2]\ny = MatMul(x, t)", 0, 3 * 8 * 8 * 8)]
    [InlineData("const l: float[] = 0\nconst h: float[] = 6\ny = Clip(x, l, h)", 0, 0)]
    [InlineData("const s: int64[2] = 0 -1\ny = Reshape(x, s)", 0, 0)]
    public void Counts_what_a_network_computes_with(string nodes, long parameters, long macs)
    {
        var costs = ModelCosts.Of(GraphText.Parse($"in x: float[N,3,8,8]\n{nodes}\nout y"));

        Assert.Equal((parameters, (long?)macs), (costs.Parameters, costs.Macs));
    }

    [Fact]
    public void A_quantized_network_counts_as_its_float_form()
    {
        var plain = GraphText.Parse("in x: float[N,3]\nconst w: float[3,2] ~ 1\nconst b: float[2] = 1 2\ny = Gemm(x, w, b)\nout y");
        var quantized = GraphText.Parse("""
            in x: float[N,3]
            const s: float[] = 0.1
            const z: uint8[] = 3
            const w: int8[3,2] = 1 2 3 4 5 6
            const ws: float[2] = 0.1 0.2
            const wz: int8[2] = 0 0
            const b: int32[2] = 1 2
            const bs: float[2] = 0.01 0.02
            const bz: int32[2] = 0 0
            xq = QuantizeLinear(x, s, z)
            xd = DequantizeLinear(xq, s, z)
            wd = DequantizeLinear(w, ws, wz) axis=1
            bd = DequantizeLinear(b, bs, bz) axis=0
            y = Gemm(xd, wd, bd)
            out y
            """);

        Assert.Equal(new ModelCosts { Parameters = 8, Macs = 6 }, ModelCosts.Of(plain));
        Assert.Equal(ModelCosts.Of(plain), ModelCosts.Of(quantized));
    }

    [Fact]
    public void A_weight_that_two_operators_read_counts_once()
    {
        var costs = ModelCosts.Of(GraphText.Parse("in x: float[1,3]\nconst w: float[3,3] ~ 1\na = MatMul(x, w)\ny = MatMul(a, w)\nout y"));

        Assert.Equal(new ModelCosts { Parameters = 9, Macs = 18 }, costs);
    }

    [Theory]
    [InlineData("in x: float[1,3,H,W]\nconst w: float[4,3,3,3] ~ 1\ny = Conv(x, w)")]
    [InlineData("in x: float[4,3,2]\nconst w: float[1,8,2] ~ 1\nconst r: float[1,8,2] ~ 2\ny = LSTM(x, w, r) hidden_size=2")]
    public void Macs_that_are_not_known_are_not_guessed(string nodes) =>
        Assert.Null(ModelCosts.Of(GraphText.Parse($"{nodes}\nout y")).Macs);
}
