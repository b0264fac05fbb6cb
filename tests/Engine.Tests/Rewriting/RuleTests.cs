using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Tests.Graphs;

namespace TinyMLaaS.Engine.Tests.Rewriting;

public sealed class RuleTests
{
    private const string BnOfFour = """
        const g: float[4] = 1 0.5 -2 1.5
        const b: float[4] = 0 1 -1 0.25
        const m: float[4] = 0.5 -0.5 1 2
        const v: float[4] = 1 0.25 4 2.25
        """;

    [Fact]
    public void Folds_bn_into_conv_under_the_name_of_its_output()
    {
        var result = AssertSame($"""
            in x: float[1,3,8,8]
            const w: float[4,3,3,3] ~ 1
            {BnOfFour}
            a = Conv(x, w) @conv pads=[1,1,1,1]
            y = BatchNormalization(a, g, b, m, v) @bn epsilon=0.0
            out y
            """);

        Assert.Equal(GraphText.Lines("""
            in x: float[1,3,8,8]
            const conv_bias: float[4] = -0.5 1.5 0 -1.75
            const w: float[4,3,3,3]
            y = Conv(x, w, conv_bias) @conv pads=[1,1,1,1]
            out y
            """), result.Text);
        Assert.Equal([("fold-batch-norm-into-conv", "bn", "conv")], result.Applied);
    }

    [Theory]
    [InlineData("const w: float[4,1,3,3] ~ 1", "Conv(x, w, c) group=4", 4)]
    [InlineData("const w: float[4,2,3,3] ~ 1", "Conv(x, w, c) group=2 strides=[2,2] auto_pad=\"SAME_LOWER\"", 4)]
    [InlineData("const w: float[4,4,1,1] ~ 1", "Conv(x, w) dilations=[2,1]", 4)]
    [InlineData("const w: float[6,4,3,3] ~ 1", "ConvTranspose(x, w, c) strides=[2,2]", 6)]
    [InlineData("const w: float[6,2,3,2] ~ 1", "ConvTranspose(x, w, c) group=2 output_padding=[1,0] strides=[2,2]", 6)]
    [InlineData("const w: float[4,1,2,3] ~ 1", "ConvTranspose(x, w) group=4", 4)]
    public void Folds_bn_into_every_form_of_conv(string weight, string conv, int inputs)
    {
        var result = AssertSame($"""
            in x: float[2,{inputs},6,5]
            {weight}
            const c: float[4] = 1 2 3 4
            {BnOfFour}
            a = {conv}
            y = BatchNormalization(a, g, b, m, v)
            out y
            """);

        Assert.DoesNotContain("BatchNormalization", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("const w: float[3,4] ~ 1", "Gemm(x, w, c)")]
    [InlineData("const w: float[3,4] ~ 1", "Gemm(x, w)")]
    [InlineData("const w: float[4,3] ~ 1", "Gemm(x, w, c) transB=1")]
    [InlineData("const w: float[4,3] ~ 1", "Gemm(x, w, c) transB=1 alpha=0.5 beta=2.5")]
    [InlineData("const w: float[3,4] ~ 1", "Gemm(x, w, s) beta=0.5")]
    [InlineData("const w: float[3,4] ~ 1", "Gemm(x, w, r) alpha=3.0")]
    [InlineData("const w: float[3,4] ~ 1", "MatMul(x, w)")]
    public void Folds_bn_into_matrix_products(string weight, string product)
    {
        var result = AssertSame($"""
            in x: float[2,3]
            {weight}
            const c: float[4] = 1 2 3 4
            const s: float[] = 1.5
            const r: float[1,4] = 1 2 3 4
            {BnOfFour}
            a = {product} @fc
            y = BatchNormalization(a, g, b, m, v)
            out y
            """);

        Assert.Contains("y = Gemm(", result.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("BatchNormalization", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("const w: float[4,3,1,1] ~ 1", "Conv(x, w)", "const c: float[4,1,1] = 1 2 3 4")]
    [InlineData("const w: float[4,3,1,1] ~ 1", "Conv(x, w)", "const c: float[1,4,1,1] = 1 2 3 4")]
    [InlineData("const w: float[4,3,1,1] ~ 1", "Conv(x, w, o)", "const c: float[] = 0.5")]
    [InlineData("const w: float[3,4,2,2] ~ 1", "ConvTranspose(x, w, o)", "const c: float[4,1,1] = 1 2 3 4")]
    public void Turns_an_added_constant_into_the_bias_of_a_conv(string weight, string conv, string constant)
    {
        var result = AssertSame($"""
            in x: float[1,3,4,4]
            {weight}
            const o: float[4] = -1 1 -2 2
            {constant}
            a = {conv}
            y = Add(c, a)
            out y
            """);

        Assert.DoesNotContain("Add", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("MatMul(x, w)", "const c: float[4] = 1 2 3 4", "y = Gemm(x, w, c)")]
    [InlineData("MatMul(x, w)", "const c: float[1,4] = 1 2 3 4", "y = Gemm(x, w, a_bias)")]
    [InlineData("MatMul(x, w)", "const c: float[] = 1", "y = Gemm(x, w, a_bias)")]
    [InlineData("Gemm(x, w, o) beta=0.5 alpha=2.0", "const c: float[4] = 1 2 3 4", "y = Gemm(x, w, o) alpha=2.0")]
    public void Turns_an_added_constant_into_the_bias_of_a_product(string product, string constant, string expected)
    {
        var result = AssertSame($"""
            in x: float[2,3]
            const w: float[3,4] ~ 1
            const o: float[4] = -1 1 -2 2
            {constant}
            a = {product}
            y = Add(a, c)
            out y
            """);

        Assert.Contains(expected + "\n", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_chain_ends_in_one_node()
    {
        var result = AssertSame($"""
            in x: float[2,3]
            const w: float[3,4] ~ 1
            const c: float[4] = 1 2 3 4
            const d: float[1,4] = 4 3 2 1
            {BnOfFour}
            e = Identity(x)
            a = MatMul(e, w) @fc
            f = Dropout(a)
            h = Add(f, c)
            i = BatchNormalization(h, g, b, m, v)
            y = Add(d, i)
            out y
            """);

        Assert.Equal("y = Gemm(x, w, c) @fc", Assert.Single(result.Text.Split('\n'), l => l.Contains(" = ", StringComparison.Ordinal) && l.Contains('(', StringComparison.Ordinal)));
    }

    // Each: the graph around `a = Conv(x, w) ; y = BatchNormalization(a, ...)` that forbids the fold, and the reason that the report gives.
    [Theory]
    [InlineData("", "", "z = Conv(x, w) @other\nout z", "its weight 'w' is also read by 'other'")]
    [InlineData("", "", "out a", "'a' between them is a graph output")]
    [InlineData("", "", "z = Relu(a) @relu\nout z", "'a' between them is also read by 'relu'")]
    [InlineData("in w: float[4,3,1,1]", "", "", "its weight 'w' is a graph input, so a caller can override it")]
    [InlineData("in v: float[4]", "", "", "its variance 'v' is a graph input, so a caller can override it")]
    [InlineData("", "training_mode=1", "", "it runs in training mode")]
    [InlineData("", "activation=\"Relu\"", "", "'bn' has the attribute 'activation', which BatchNormalization should not have")]
    [InlineData("", "epsilon=-9.0", "", "the variance of channel 0 plus epsilon is -8, which has no root")]
    public void Keeps_bn_where_folding_would_change_something(string declaration, string attributes, string rest, string reason)
    {
        var result = Fuse($"""
            in x: float[1,3,4,4]
            {declaration}
            const w: float[4,3,1,1] ~ 1
            {BnOfFour}
            a = Conv(x, w) @conv
            y = BatchNormalization(a, g, b, m, v) @bn {attributes}
            out y
            {rest}
            """, opset: 15);

        Assert.Contains(" = BatchNormalization(", result.Text, StringComparison.Ordinal);
        Assert.Empty(result.Applied);
        Assert.Equal([("fold-batch-norm-into-conv", "bn", reason)], result.Refused);
    }

    [Fact]
    public void Keeps_bn_whose_weight_is_computed()
    {
        var result = Fuse($"in x: float[1,3,4,4]\nin k: float[4,3,1,1]\n{BnOfFour}\nw = Relu(k)\na = Conv(x, w)\ny = BatchNormalization(a, g, b, m, v) @bn\nout y");

        Assert.Equal([("fold-batch-norm-into-conv", "bn", "its weight 'w' is not constant")], result.Refused);
    }

    [Fact]
    public void Keeps_bn_with_the_outputs_of_training()
    {
        var result = Fuse($"in x: float[1,3,4,4]\nconst w: float[4,3,1,1] ~ 1\n{BnOfFour}\na = Conv(x, w)\ny, rm, rv, sm, sv = BatchNormalization(a, g, b, m, v) @bn\nout y");

        Assert.Equal([("fold-batch-norm-into-conv", "bn", "it has the outputs of training mode")], result.Refused);
    }

    [Fact]
    public void Keeps_bn_that_would_overflow_the_weights()
    {
        var result = Fuse("""
            in x: float[1,3,4,4]
            const w: float[1,3,1,1] = 1e30 1 1
            const g: float[1] = 1e30
            const b: float[1] = 0
            const m: float[1] = 0
            const v: float[1] = 1
            a = Conv(x, w)
            y = BatchNormalization(a, g, b, m, v) @bn
            out y
            """);

        Assert.Equal([("fold-batch-norm-into-conv", "bn", "the folded weight would not be finite")], result.Refused);
    }

    [Theory]
    [InlineData("float[2,5,3]", "'x' has rank 3, and a Gemm takes matrices")]
    public void Keeps_bn_and_add_after_a_product_of_higher_rank(string type, string reason)
    {
        // Over [2,5,4] the statistics belong to the second axis, not to the columns.
        var bn = Fuse($"in x: {type}\nconst w: float[3,4] ~ 1\nconst g: float[5] ~ 1\nconst v: float[5] = 1 1 1 1 1\na = MatMul(x, w)\ny = BatchNormalization(a, g, g, g, v) @bn\nout y");
        var add = Fuse($"in x: {type}\nconst w: float[3,4] ~ 1\nconst c: float[4] ~ 2\na = MatMul(x, w)\ny = Add(a, c) @add\nout y");

        Assert.Equal([("fold-batch-norm-into-matmul", "bn", reason)], bn.Refused);
        Assert.Equal([("matmul-add-into-gemm", "add", reason)], add.Refused);
    }

    [Theory]
    [InlineData("const c: float[4] = 1 2 3 4", "", "its summand 'c' of shape [4] is not one number for each of 4 channels")]
    [InlineData("const c: float[1,1,4,1,1] = 1 2 3 4", "", "its summand 'c' of shape [1,1,4,1,1] is not one number for each of 4 channels")]
    [InlineData("in c: float[4,1,1]\nconst c: float[4,1,1] = 1 2 3 4", "", "its summand 'c' is a graph input, so a caller can override it")]
    [InlineData("const c: float[4,1,1] = 1 2 3 4", "out a", "'a' between them is a graph output")]
    [InlineData("const c: float[4,1,1] = 1 2 3 4", "z = Relu(a) @relu\nout z", "'a' between them is also read by 'relu'")]
    public void Keeps_an_add_that_is_no_bias(string constant, string rest, string reason)
    {
        var result = Fuse($"""
            in x: float[1,3,4,4]
            const w: float[4,3,1,1] ~ 1
            {constant}
            a = Conv(x, w)
            y = Add(a, c) @add
            out y
            {rest}
            """);

        Assert.Equal([("add-into-bias", "add", reason)], result.Refused);
        Assert.Contains("Add(a, c)", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Leaves_the_add_of_two_activations_without_a_word()
    {
        var result = Fuse("in x: float[1,4,4,4]\nconst w: float[4,4,1,1] ~ 1\na = Conv(x, w)\ny = Add(a, x)\nout y");

        Assert.Empty(result.Refused);
        Assert.Contains("y = Add(a, x)", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("y = Identity(x)\nout y", "'y' is a graph output and 'x' is no value of a node of this graph")]
    [InlineData("a = Relu(x)\ny = Identity(a)\nout a\nout y", "'y' and 'a' are both graph outputs")]
    public void Keeps_an_identity_that_gives_an_output_its_name(string nodes, string reason)
    {
        var result = Fuse($"in x: float[2]\n{nodes}");

        Assert.Equal(reason, Assert.Single(result.Refused).Reason);
        Assert.Contains("Identity", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Keeps_the_names_of_outputs_when_an_identity_goes()
    {
        var result = AssertSame("in x: float[2]\na = Relu(x)\ny = Identity(a)\nz = Neg(a)\nout y\nout z");

        Assert.Equal(GraphText.Lines("in x: float[2]\ny = Relu(x)\nz = Neg(y)\nout y\nout z"), result.Text);
    }

    [Theory]
    [InlineData("const t: bool[] = 1\ny = Dropout(x, , t) @d", "its training mode 't' is on")]
    [InlineData("in t: bool[]\ny = Dropout(x, , t) @d", "its training mode 't' is not constant")]
    [InlineData("y, k = Dropout(x) @d\nz = Not(k)\nout z", "its mask 'k' is read")]
    public void Keeps_a_dropout_that_does_something(string nodes, string reason)
    {
        var result = Fuse($"in i: float[2]\nx = Relu(i)\n{nodes}\nw = Neg(y)\nout w");

        Assert.Equal([("eliminate-identity", "d", reason)], result.Refused);
    }

    [Theory]
    [InlineData("const w: float[4,3,1,1] ~ 1", "Conv(x, w)", "const s: float[4,1,1] = 1 2 -3 0.5", "Mul(a, s)")]
    [InlineData("const w: float[4,1,3,3] ~ 1", "Conv(x, w, o) group=4", "const s: float[1,4,1,1] = 1 2 -3 0.5", "Mul(s, a)")]
    [InlineData("const w: float[6,2,2,2] ~ 1", "ConvTranspose(x, w, o) group=2", "const s: float[4,1,1] = 1 2 -3 0.5", "Mul(a, s)")]
    [InlineData("const w: float[4,3,1,1] ~ 1", "Conv(x, w, o)", "const s: float[] = 1.5", "Mul(a, s)")]
    public void A_normalization_split_into_mul_and_add_becomes_weight_and_bias(string weight, string conv, string factor, string mul)
    {
        var inputs = weight.Contains("[4,1", StringComparison.Ordinal) ? 4 : weight.Contains("[6", StringComparison.Ordinal) ? 6 : 3;
        var result = AssertSame($"""
            in x: float[1,{inputs},4,4]
            {weight}
            const o: float[4] = -1 1 -2 2
            {factor}
            const t: float[4,1,1] = 4 3 2 1
            a = {conv}
            b = {mul}
            y = Add(b, t)
            out y
            """);

        Assert.DoesNotContain("Mul(", result.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("Add(", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("const s: float[4] = 1 2 3 4", "", "its factor 's' of shape [4] is not one number for each of 4 channels")]
    [InlineData("in s: float[4,1,1]\nconst s: float[4,1,1] = 1 2 3 4", "", "its factor 's' is a graph input, so a caller can override it")]
    [InlineData("const s: float[4,1,1] = 1 2 3 4", "out a", "'a' between them is a graph output")]
    [InlineData("const s: float[4,1,1] = 1 2 3 4", "z = Relu(a) @relu\nout z", "'a' between them is also read by 'relu'")]
    [InlineData("const s: float[4,1,1] = 1 2 3 4", "z = Conv(x, w) @other auto_pad=\"VALID\"\nout z", "its weight 'w' is also read by 'other'")]
    public void Keeps_a_mul_that_is_no_factor_of_the_weights(string factor, string rest, string reason)
    {
        var result = Fuse($"""
            in x: float[1,3,4,4]
            const w: float[4,3,1,1] ~ 1
            {factor}
            a = Conv(x, w)
            y = Mul(a, s) @mul
            out y
            {rest}
            """);

        Assert.Equal([("fold-mul-into-conv", "mul", reason)], result.Refused);
    }

    [Theory]
    [InlineData("", "")]
    [InlineData(" auto_pad=\"VALID\"", "")]
    [InlineData(" pads=[1,0,2,1] strides=[2,2]", "const v: float[] = 0")]
    public void Padding_by_zeros_moves_into_the_conv(string attributes, string value)
    {
        var result = AssertSame($"""
            in x: float[1,3,5,6]
            const w: float[4,3,3,3] ~ 1
            const p: int64[8] = 0 0 1 2 0 0 3 0
            {value}
            a = Pad(x, p{(value.Length > 0 ? ", v" : "")})
            y = Conv(a, w){attributes}
            out y
            """);

        Assert.DoesNotContain("Pad(", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("const p: int64[8] = 0 0 1 2 0 0 3 0\na = Pad(x, p) @pad mode=\"reflect\"", "'pad' pads by 'reflect', not by zeros")]
    [InlineData("const p: int64[8] = 0 0 1 2 0 0 3 0\nconst v: float[] = 1\na = Pad(x, p, v) @pad", "its value 'v' is not a constant zero")]
    [InlineData("const p: int64[8] = 0 0 -1 2 0 0 3 0\na = Pad(x, p) @pad", "'pad' cuts, or pads batch or channels")]
    [InlineData("const p: int64[8] = 1 0 1 2 0 0 3 0\na = Pad(x, p) @pad", "'pad' cuts, or pads batch or channels")]
    [InlineData("in p: int64[8]\na = Pad(x, p) @pad", "its pads 'p' are not constant")]
    [InlineData("const p: int64[8] = 0 0 1 2 0 0 3 0\na = Pad(x, p) @pad\nout a", "'a' between them is a graph output")]
    [InlineData("const p: int64[8] = 0 0 1 2 0 0 3 0\na = Pad(x, p) @pad\nz = Relu(a) @relu\nout z", "'a' between them is also read by 'relu'")]
    public void Keeps_padding_that_a_conv_would_not_do(string pad, string reason)
    {
        var result = Fuse($"in x: float[1,3,5,6]\nconst w: float[4,3,3,3] ~ 1\n{pad}\ny = Conv(a, w) @conv\nout y");

        Assert.Equal([("merge-pad-into-conv", "conv", reason)], result.Refused);
        Assert.Contains("Pad(", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Keeps_padding_before_a_conv_that_pads_by_extent()
    {
        var result = Fuse("in x: float[1,3,5,6]\nconst w: float[4,3,3,3] ~ 1\nconst p: int64[8] = 0 0 1 2 0 0 3 0\na = Pad(x, p)\ny = Conv(a, w) @conv auto_pad=\"SAME_UPPER\"\nout y");

        Assert.Equal([("merge-pad-into-conv", "conv", "'conv' pads by 'SAME_UPPER'")], result.Refused);
    }

    [Theory]
    [InlineData("a = Transpose(x) perm=[0,2,3,1]\nb = Transpose(a) perm=[0,3,1,2]\ny = Relu(b)\nout y", 0)]
    [InlineData("a = Transpose(x) perm=[0,2,3,1]\ny = Transpose(a) perm=[2,0,1,3]\nout y", 1)]
    [InlineData("a = Transpose(x) perm=[0,2,3,1]\nb = Transpose(a) perm=[0,3,1,2]\ny = Relu(b)\nz = Relu(a)\nout y\nout z", 1)]
    public void Two_transposes_become_one_or_none(string nodes, int remaining)
    {
        var result = AssertSame($"in x: float[2,3,4,5]\n{nodes}");

        Assert.Equal(remaining, result.Text.Split(" = Transpose(").Length - 1);
    }

    [Theory]
    [InlineData("a = Transpose(x)\ny = Transpose(a) @t perm=[1,0]", "one of the two states no order of axes")]
    [InlineData("a = Transpose(x) perm=[1,0]\ny = Transpose(a) @t perm=[1,0]", "'y' is a graph output and 'x' is no value of a node of this graph")]
    [InlineData("a = Transpose(x) perm=[1,0]\ny = Transpose(a) @t perm=[1,1]", "[1,0] and [1,1] are not two orders of the same axes")]
    public void Keeps_transposes_that_do_not_cancel_for_certain(string nodes, string reason)
    {
        var result = Fuse($"in x: float[2,3]\n{nodes}\nout y");

        Assert.Equal([("merge-transposes", "t", reason)], result.Refused);
    }

    [Fact]
    public void Nodes_that_compute_the_same_become_one()
    {
        var result = AssertSame("in x: float[2,3]\na = Softmax(x) axis=1\nb = Softmax(x) axis=1\nc = Exp(a)\nd = Exp(b)\ny = Add(c, d)\nout y");

        Assert.Equal(GraphText.Lines("in x: float[2,3]\na = Softmax(x) axis=1\nc = Exp(a)\ny = Add(c, c)\nout y"), result.Text);
    }

    [Theory]
    [InlineData("a = Softmax(x) axis=1\nb = Softmax(x) axis=0")]
    [InlineData("a = Exp(x)\nb = Log(x)")]
    [InlineData("a = RandomNormalLike(x)\nb = RandomNormalLike(x)")]
    [InlineData("a = own:Any(x)\nb = own:Any(x)")]
    [InlineData("a = Sub(x, c)\nb = Sub(c, x)")]
    public void Nodes_that_differ_stay(string nodes)
    {
        var result = Fuse($"in x: float[2,3]\nin c: float[2,3]\n{nodes}\ny = Add(a, b)\nout y");

        Assert.Contains("y = Add(a, b)", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_graph_output_keeps_its_own_node()
    {
        var result = Fuse("in x: float[2]\na = Exp(x)\nb = Exp(x)\nout a\nout b");

        Assert.Contains("b = Exp(x)", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Sub(a, c)", "const c: float[4,1,1] = 1 2 3 4")]
    [InlineData("Div(a, c)", "const c: float[1,4,1,1] = 1 2 -3 0.5")]
    public void A_normalization_split_into_sub_and_div_becomes_weight_and_bias(string second, string constant)
    {
        var result = AssertSame($"""
            in x: float[1,3,4,4]
            const w: float[4,3,3,3] ~ 1
            const o: float[4] = -1 1 -2 2
            const m: float[4,1,1] = 4 3 2 1
            {constant}
            n = Conv(x, w, o)
            a = Sub(n, m)
            y = {second}
            out y
            """);

        Assert.DoesNotContain("Sub(", result.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("Div(", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("const c: float[4,1,1] = 1 2 3 4\ny = Sub(c, a) @n", "", "")]
    [InlineData("const c: float[4,1,1] = 1 2 3 4\ny = Div(c, a) @n", "", "")]
    [InlineData("const c: float[4,1,1] = 1 2 0 4\ny = Div(a, c) @n", "fold-mul-into-conv", "the folded weight would not be finite")]
    [InlineData("const c: float[4,1,1] = 1 2 3 4\ny = Div(a, c) @n\nout a", "fold-mul-into-conv", "'a' between them is a graph output")]
    [InlineData("const c: float[4,1,1] = 1 2 3 4\ny = Sub(a, c) @n\nz = Relu(a) @relu\nout z", "add-into-bias", "'a' between them is also read by 'relu'")]
    public void Keeps_a_sub_or_div_that_cannot_be_folded(string nodes, string rule, string reason)
    {
        var result = Fuse($"in x: float[1,3,4,4]\nconst w: float[4,3,1,1] ~ 1\na = Conv(x, w)\n{nodes}\nout y");

        Assert.Equal(rule.Length == 0 ? [] : [(rule, "n", reason)], result.Refused);
        Assert.Empty(result.Applied);
    }

    [Theory]
    [InlineData("float[2,3]", "MatMul(x, w)", "const s: float[4] = 1 2 -3 0.5", "Mul(s, a)", "y = Gemm(")]
    [InlineData("float[2,3]", "Gemm(x, w, o) beta=0.5 alpha=2.0", "const s: float[1,4] = 1 2 -3 0.5", "Div(a, s)", "y = Gemm(")]
    [InlineData("float[2,3]", "Gemm(x, v) transB=1", "const s: float[4] = 1 2 -3 0.5", "Mul(a, s)", "y = Gemm(")]
    [InlineData("float[2,5,3]", "MatMul(x, w)", "const s: float[4] = 1 2 -3 0.5", "Mul(a, s)", "a = MatMul(")]
    [InlineData("float[2,5,3]", "MatMul(x, w)", "const s: float[] = 3", "Div(a, s)", "a = MatMul(")]
    public void A_normalization_split_behind_a_product_becomes_weight_and_bias(string type, string product, string factor, string mul, string expected)
    {
        var result = AssertSame($"""
            in x: {type}
            const w: float[3,4] ~ 1
            const v: float[4,3] ~ 2
            const o: float[4] = -1 1 -2 2
            {factor}
            const t: float[4] = 4 3 2 1
            p = {product.Replace("a = ", "", StringComparison.Ordinal)}
            a = Identity(p)
            b = {mul}
            y = Sub(b, t)
            out y
            """);

        Assert.DoesNotContain("Mul(b", result.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("Div(", result.Text, StringComparison.Ordinal);
        Assert.Equal(expected.StartsWith('y'), result.Text.Contains("y = Gemm(", StringComparison.Ordinal));
        Assert.Equal(expected.StartsWith('y') ? 1 : 2, result.Text.Split('\n').Count(l => l.Contains(" = ", StringComparison.Ordinal) && l.Contains('(', StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("in q: float[2,3]\nconst s: float[4] = 1 2 3 4", "", "z = MatMul(q, w) @other\nout z", "its weight 'w' is also read by 'other'")]
    [InlineData("const s: float[4] = 1 2 3 4", "", "out a", "'a' between them is a graph output")]
    [InlineData("const s: float[4] = 1 2 3 4", "", "z = Relu(a) @relu\nout z", "'a' between them is also read by 'relu'")]
    [InlineData("in s: float[4]\nconst s: float[4] = 1 2 3 4", "", "", "its factor 's' is a graph input, so a caller can override it")]
    [InlineData("const s: float[2,1] = 1 2", "", "", "its factor 's' of shape [2,1] is not one number for each of 4 channels")]
    [InlineData("const s: float[1,1,4] = 1 2 3 4", "", "", "its factor 's' may have more axes than 'a'")]
    [InlineData("const s: float[4] = 1 2 3 4", " odd=1", "", "'fc' has the attribute 'odd', which MatMul should not have")]
    public void Keeps_a_mul_that_is_no_factor_of_the_columns(string factor, string attribute, string rest, string reason)
    {
        var result = Fuse($"in x: float[2,3]\nconst w: float[3,4] ~ 1\n{factor}\na = MatMul(x, w) @fc{attribute}\ny = Mul(a, s) @mul\nout y\n{rest}");

        Assert.Equal([("fold-mul-into-product", "mul", reason)], result.Refused);
    }

    [Theory]
    [InlineData("const w: float[2,4,3,3] ~ 1", "Conv(a, w, o)", "BatchNormalization(x, g, b, m, v)")]
    [InlineData("const w: float[2,4,3,3] ~ 1", "Conv(a, w) auto_pad=\"VALID\" strides=[2,1]", "BatchNormalization(x, g, b, m, v)")]
    [InlineData("const w: float[2,2,1,1] ~ 1", "Conv(a, w) group=2 pads=[0,0,0,0]", "BatchNormalization(x, g, b, m, v)")]
    [InlineData("const w: float[4,1,3,3] ~ 1", "Conv(a, w, u) group=4", "BatchNormalization(x, g, b, m, v)")]
    [InlineData("const w: float[2,4,3,3] ~ 1", "Conv(a, w) pads=[1,1,1,1]", "BatchNormalization(x, g, z, z, v)")]
    [InlineData("const w: float[2,4,3,3] ~ 1", "Conv(a, w) auto_pad=\"SAME_UPPER\"", "Mul(x, k)")]
    [InlineData("const w: float[2,4,3,3] ~ 1", "Conv(a, w) pads=[1,0,1,0]", "Div(x, k)")]
    [InlineData("const w: float[2,4,3,3] ~ 1", "Conv(a, w, o)", "Sub(x, k)")]
    [InlineData("const w: float[2,4,3,3] ~ 1", "Conv(a, w)", "Add(k, x)")]
    public void What_stands_before_a_conv_folds_into_it_where_the_border_allows(string weight, string conv, string affine)
    {
        var result = AssertSame($"""
            in x: float[1,4,5,6]
            {weight}
            const o: float[2] = 1 -2
            const u: float[4] = 1 -2 3 4
            const z: float[4] = 0 0 0 0
            const k: float[1,4,1,1] = 1 2 -3 0.5
            {BnOfFour}
            a = {affine}
            y = {conv}
            out y
            """);

        Assert.Equal("fold-affine-into-next-conv", Assert.Single(result.Applied).Item1);
        Assert.Contains("y = Conv(x, w", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("BatchNormalization(x, g, b, m, v)", " pads=[0,0,0,1]", "", "'conv' pads by zeros, which 'bn' would have shifted")]
    [InlineData("BatchNormalization(x, g, b, m, v)", " auto_pad=\"SAME_LOWER\"", "", "'conv' pads by zeros, which 'bn' would have shifted")]
    [InlineData("BatchNormalization(x, g, b, m, v)", "", "out a", "'a' between them is a graph output")]
    [InlineData("BatchNormalization(x, g, b, m, v)", "", "r = Relu(a) @relu\nout r", "'a' between them is also read by 'relu'")]
    [InlineData("BatchNormalization(x, g, b, m, v)", "", "r = Conv(x, w) @other\nout r", "its weight 'w' is also read by 'other'")]
    [InlineData("BatchNormalization(x, g, b, m, v) training_mode=1", "", "", "it runs in training mode")]
    [InlineData("BatchNormalization(x, g, b, m, v) activation=\"Relu\"", "", "", "'bn' has the attribute 'activation', which BatchNormalization should not have")]
    [InlineData("Mul(x, k)", "", "", "its factor 'k' of shape [4,1] is not one number for each of 4 channels")]
    [InlineData("Add(h, x)", "", "", "its summand 'h' is a graph input, so a caller can override it")]
    public void Keeps_what_stands_before_a_conv_and_would_change_something(string affine, string attributes, string rest, string reason)
    {
        var result = Fuse($"""
            in x: float[1,4,4,6]
            in h: float[4,1,1]
            const h: float[4,1,1] = 1 2 3 4
            const w: float[2,4,3,3] ~ 1
            const k: float[4,1] = 1 2 3 4
            {BnOfFour}
            a = {affine.Replace(") ", ") @bn ", StringComparison.Ordinal)}{(affine.Contains(") ", StringComparison.Ordinal) ? "" : " @bn")}
            y = Conv(a, w) @conv{attributes}
            out y
            {rest}
            """, opset: 15);

        Assert.Equal([("fold-affine-into-next-conv", "conv", reason)], result.Refused);
    }

    [Fact]
    public void Keeps_a_factor_that_widens_what_it_meets()
    {
        // One channel times four numbers is four channels.
        var result = Fuse("in x: float[1,1,4,6]\nconst w: float[2,4,3,3] ~ 1\nconst k: float[4,1,1] = 1 2 3 4\na = Mul(x, k)\ny = Conv(a, w) @conv\nout y");

        Assert.Equal([("fold-affine-into-next-conv", "conv", "the channels of 'x' are not known")], result.Refused);
    }

    [Theory]
    [InlineData("", "kernel_shape=[3,2] strides=[2,1]")]
    [InlineData("", "kernel_shape=[3,3] auto_pad=\"VALID\" count_include_pad=0")]
    public void Padding_by_zeros_moves_into_an_average_pool_that_counts_it(string declaration, string attributes)
    {
        var result = AssertSame($"in x: float[1,3,5,6]\n{declaration}\nconst p: int64[8] = 0 0 1 0 0 0 2 1\na = Pad(x, p)\ny = AveragePool(a) {attributes}\nout y");

        Assert.DoesNotContain("Pad(", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("kernel_shape=[3,2] pads=[0,0,1,0]", "", "'pool' pads too, by zeros that may not count")]
    [InlineData("kernel_shape=[3,2] auto_pad=\"SAME_UPPER\"", "", "'pool' pads too, by zeros that may not count")]
    [InlineData("kernel_shape=[3,2] ceil_mode=1", "", "'pool' rounds its extents up")]
    [InlineData("kernel_shape=[2,2]", "", "'pad' adds as much as a whole window of 'pool'")]
    [InlineData("kernel_shape=[3,2] dilations=[1,2]", "", "'pool' has the attribute 'dilations', which AveragePool should not have")]
    [InlineData("kernel_shape=[3,2]", "out a", "'a' between them is a graph output")]
    [InlineData("kernel_shape=[3,2]", "z = Relu(a) @relu\nout z", "'a' between them is also read by 'relu'")]
    public void Keeps_padding_that_an_average_pool_would_not_do(string attributes, string rest, string reason)
    {
        var result = Fuse($"in x: float[1,3,5,6]\nconst p: int64[8] = 0 0 1 0 0 0 2 1\na = Pad(x, p) @pad\ny = AveragePool(a) @pool {attributes}\nout y\n{rest}", opset: 19);

        Assert.Equal([("merge-pad-into-average-pool", "pool", reason)], result.Refused);
    }

    [Theory]
    [InlineData("const s: int64[1] = 0\nconst e: int64[1] = 9223372036854775807\ny = Slice(a, s, e)")]
    [InlineData("const s: int64[2] = 0 0\nconst e: int64[2] = 2147483647 4\nconst i: int64[2] = 0 2\ny = Slice(a, s, e, i)")]
    [InlineData("const p: int64[6] = 0 0 0 0 0 0\ny = Pad(a, p) mode=\"reflect\"")]
    [InlineData("y = Cast(a) to=1")]
    [InlineData("y = Transpose(a) perm=[0,1,2]")]
    [InlineData("y = Concat(a) axis=1")]
    [InlineData("const s: int64[3] = 1 1 4\ny = Expand(a, s)")]
    [InlineData("const s: int64[3] = 1 1 1\ny = Tile(a, s)")]
    [InlineData("const s: int64[3] = 2 0 -1\ny = Reshape(a, s)")]
    public void What_gives_what_it_takes_goes(string nodes)
    {
        var result = AssertSame($"in x: float[2,3,4]\na = Relu(x)\n{nodes}\nz = Neg(y)\nout z");

        Assert.Equal(GraphText.Lines("in x: float[2,3,4]\na = Relu(x)\nz = Neg(a)\nout z"), result.Text);
    }

    [Theory]
    [InlineData("const s: int64[1] = 1\nconst e: int64[1] = 9223372036854775807\ny = Slice(a, s, e)")]
    [InlineData("const s: int64[1] = 0\nconst e: int64[1] = -1\ny = Slice(a, s, e)")]
    [InlineData("const s: int64[1] = 0\nconst e: int64[1] = 9223372036854775807\nconst i: int64[1] = 0\nconst t: int64[1] = 2\ny = Slice(a, s, e, i, t)")]
    [InlineData("const p: int64[6] = 0 0 1 0 0 0\ny = Pad(a, p)")]
    [InlineData("y = Cast(a) to=11")]
    [InlineData("y = Transpose(a) perm=[0,2,1]")]
    [InlineData("y = Concat(a, a) axis=1")]
    [InlineData("const s: int64[4] = 1 1 1 1\ny = Expand(a, s)")]
    [InlineData("const s: int64[3] = 2 -1 0\ny = Reshape(a, s)")]
    [InlineData("const s: int64[1] = 0\nconst e: int64[1] = 3\ny = Slice(a, s, e)")]
    public void What_gives_something_else_stays(string nodes)
    {
        var result = Fuse($"in x: float[N,3,4]\na = Relu(x)\n{nodes}\nz = Neg(y)\nout z");

        Assert.Empty(result.Applied);
        Assert.Contains("z = Neg(y)", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("const i: int64[1] = 2\nf = Unsqueeze(x, i)\nconst s: int64[4] = 0 3 2 2\ny = Reshape(f, s)", "[0,3,2,2]")]
    [InlineData("const i: int64[1] = 0\nf = Unsqueeze(x, i)\nconst s: int64[2] = 1 -1\ny = Reshape(f, s)", "[1,-1]")]
    [InlineData("const s: int64[2] = -1 6\nf = Reshape(x, s)\nconst i: int64[1] = 2\ny = Unsqueeze(f, i)", "[-1,6,1]")]
    public void A_chain_of_shapes_becomes_one(string nodes, string target)
    {
        var result = AssertSame($"in x: float[N,12]\n{nodes}\nout y");

        Assert.Equal("merge-reshapes", Assert.Single(result.Applied).Item1);
        Assert.Contains($"const y_shape: int64[{target.Count(c => c == ',') + 1}] = {target[1..^1].Replace(',', ' ')}\n", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("in s: int64[3]\nconst i: int64[1] = 0\nf = Unsqueeze(x, i)\ny = Reshape(f, s) @r\nout y", "the shape of 'y' is not known")]
    [InlineData("const i: int64[1] = 0\nf = Unsqueeze(x, i)\nconst a: int64[1] = 1\ny = Unsqueeze(f, a) @r odd=1\nout y", "'r' has the attribute 'odd', which Unsqueeze should not have")]
    [InlineData("const i: int64[1] = 0\nf = Unsqueeze(x, i)\nconst a: int64[1] = 1\ny = Unsqueeze(f, a) @r\nout y", "of the shape of 'y' more than one extent is open, or one is 0")]
    public void A_chain_of_shapes_that_is_not_known_stays(string nodes, string reason) =>
        Assert.Contains(("merge-reshapes", "r", reason), Fuse($"in x: float[N,M]\n{nodes}").Refused);

    [Fact]
    public void A_shape_worked_out_from_shapes_becomes_a_constant_whatever_the_batch_is()
    {
        var result = AssertSame("""
            in x: float[N,3,H,W]
            const zero: int64[] = 0
            const axes: int64[1] = 0
            const open: int64[1] = -1
            const three: int64[1] = 3
            t = Transpose(x) perm=[0,2,3,1]
            s = Shape(x)
            n = Gather(s, zero) axis=0
            u = Unsqueeze(n, axes)
            c = Concat(u, open, three) axis=0
            y = Reshape(t, c)
            out y
            """);

        Assert.Equal(GraphText.Lines("""
            in x: float[N,3,H,W]
            const y_shape: int64[3] = 0 -1 3
            t = Transpose(x) perm=[0,2,3,1]
            y = Reshape(t, y_shape)
            out y
            """), result.Text);
    }

    [Theory]
    [InlineData("const i: int64[2] = 0 2", "", "two extents of its shape 'c' are neither numbers nor its input's own")]
    [InlineData("const i: int64[1] = 0", " allowzero=1", "a 0 in its shape stands for no elements (allowzero)")]
    public void Keeps_a_shape_that_no_constant_says(string indices, string attribute, string reason)
    {
        // [3, N, H, W] has N and H elsewhere than the shape wants them.
        var result = Fuse($"in x: float[N,3,H,W]\n{indices}\nconst o: int64[1] = 3\nt = Transpose(x) perm=[1,0,2,3]\ns = Shape(x)\nn = Gather(s, i)\nc = Concat(n, o) axis=0\ny = Reshape(t, c) @r{attribute}\nout y", opset: 14);

        Assert.Contains(("fix-shape-of-reshape", "r", reason), result.Refused);
    }

    [Fact]
    public void Two_extents_of_one_name_are_not_taken_for_equal()
    {
        // Exporters name unequal extents alike: 'n' of a is not 'n' of b.
        var result = Fuse("in a: float[n,4]\nin b: float[n,2,2]\nconst zero: int64[1] = 0\nconst f: int64[1] = 4\ns = Shape(a)\ni = Gather(s, zero)\nc = Concat(i, f) axis=0\ny = Reshape(b, c)\nz = Relu(a)\nout y\nout z");

        Assert.Contains("= -1 4\n", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_softmax_over_more_than_its_last_axis_keeps_its_reshaping()
    {
        var result = Fuse("in x: float[N,3,4]\na = Softmax(x) axis=1\nb = Softmax(x) axis=-2\ny = Add(a, b)\nout y", opset: 12);

        Assert.Contains("Flatten", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_softmax_over_the_last_axis_loses_the_reshaping_of_an_upgrade()
    {
        const string text = "in x: float[2,A,B]\nin k: float[4,4]\nconst p: int64[3] = 2 -1 4\nr = Reshape(x, p)\nm = MatMul(r, k)\nf = Flatten(m) axis=2\ns = Softmax(f) axis=1\nh = Shape(m)\ny = Reshape(s, h)\nout y";
        var result = AssertSame(text.Replace("[2,A,B]", "[2,6,4]", StringComparison.Ordinal));

        Assert.Contains("y = Softmax(m) axis=-1\n", result.Text, StringComparison.Ordinal);
        Assert.Contains(Fuse(text).Applied, a => a.Item1 == "unflatten-softmax");
        Assert.DoesNotContain(Fuse(text.Replace("f = Flatten(m) axis=2", "f = Flatten(m) axis=1", StringComparison.Ordinal)).Applied, a => a.Item1 == "unflatten-softmax");
    }

    [Fact]
    public void A_shuffle_that_is_taken_apart_again_needs_no_transpose()
    {
        var result = AssertSame("in x: float[1,6,4,4]\nconst s: int64[3] = 3 2 16\nconst t: int64[5] = 2 1 3 4 4\nconst z: int64[] = 0\nconst i: int64[] = 1\nc = Reshape(x, s)\np = Transpose(c) perm=[1,0,2]\nr = Reshape(p, t)\na = Gather(r, z) axis=0\nb = Gather(r, i) axis=0\ny = Sub(a, b)\nout y");

        Assert.DoesNotContain("Transpose", result.Text, StringComparison.Ordinal);
        Assert.Single(result.Text.Split('\n'), l => l.Contains(" = Reshape(", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("const i: int64[] = 1\ny = Gather(r, i) axis=3\nout y", "what 'Gather -> y' leaves would still be out of order")]
    [InlineData("const i: int64[1] = 1\ny = Gather(r, i) axis=0\nout y", "'Gather -> y' takes more than one constant index")]
    [InlineData("const i: int64[] = 1\ny = Gather(r, i) axis=0\nout y\nout r", "'r' is a graph output")]
    [InlineData("const i: int64[] = 1\ny = Gather(r, i) axis=0\nq = Relu(p) @relu\nout y\nout q", "'p' between them is also read by 'relu'")]
    public void Keeps_a_shuffle_that_is_more_than_that(string nodes, string reason)
    {
        var result = Fuse($"in x: float[1,6,4,4]\nconst s: int64[3] = 3 2 16\nconst t: int64[5] = 2 1 3 4 4\nc = Reshape(x, s)\np = Transpose(c) perm=[1,0,2]\nr = Reshape(p, t) @r\n{nodes}");

        Assert.Contains(("shuffle-into-gathers", "r", reason), result.Refused);
    }

    [Theory]
    [InlineData("float[1,4,5,1]", "[0,3,1,2]", true)]
    [InlineData("float[N,1,5,1]", "[0,2,3,1]", true)]
    [InlineData("float[1,4,5,2]", "[0,3,1,2]", false)]
    [InlineData("float[N,1,5,1]", "[2,0,3,1]", false)]
    public void A_transpose_that_moves_no_element_becomes_a_reshape(string type, string order, bool isReshape)
    {
        var result = AssertSame($"in x: {type}\ny = Transpose(x) perm={order}\nout y");

        Assert.Equal(isReshape, result.Text.Contains("y = Reshape(", StringComparison.Ordinal));
    }

    [Fact]
    public void Small_constants_that_are_equal_count_as_one()
    {
        var result = AssertSame("in x: float[2,3]\nconst c: float[3] = 1 2 3\nconst d: float[3] = 1 2 3\nconst e: float[1,3] = 1 2 3\na = Mul(x, c)\nb = Mul(x, d)\nf = Mul(x, e)\ng = Add(a, b)\ny = Add(g, f)\nout y");

        Assert.Contains("g = Add(a, a)", result.Text, StringComparison.Ordinal);
        Assert.Contains("y = Add(g, f)", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Keeps_what_is_excluded()
    {
        var model = GraphText.Parse($"in x: float[1,3,4,4]\nconst w: float[4,3,1,1] ~ 1\n{BnOfFour}\na = Conv(x, w) @conv\ny = BatchNormalization(a, g, b, m, v) @bn\nout y");

        var results = PassRunner.Run(model, FusePasses.All, new PassContext(n => n.Name == "conv"));

        Assert.Equal("'conv' is excluded", Assert.Single(results.SelectMany(r => r.Refused)).Reason);
        Assert.Contains("BatchNormalization", GraphText.Dump(model), StringComparison.Ordinal);
    }

    private static (string Text, List<(string, string, string?)> Applied, List<(string Rule, string Node, string Reason)> Refused) Fuse(string text, long opset = 13)
    {
        var model = GraphText.Parse(text, opset);
        Assert.Empty(model.Graph.Verify());
        var results = PassRunner.Run(model, FusePasses.All, PassContext.Default);
        return (GraphText.Dump(model), [.. results.SelectMany(r => r.Applied).Select(a => (a.Rule, a.Node, a.Into))], [.. results.SelectMany(r => r.Refused).Select(r => (r.Rule, r.Node, r.Reason))]);
    }

    private static (string Text, List<(string, string, string?)> Applied, List<(string Rule, string Node, string Reason)> Refused) AssertSame(string text)
    {
        var original = OnnxFile.ToBytes(GraphText.Parse(text));
        var model = GraphText.Parse(text);
        PassRunner.Run(model, FusePasses.All, PassContext.Default);
        var inputs = Oracle.Inputs(original, seed: 5);
        // A few dozen products of magnitude one: float error stays below 1e-5, and a wrong channel is off by far more than 1e-4.
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 1e-5f, 1e-5f);
        return Fuse(text);
    }
}
