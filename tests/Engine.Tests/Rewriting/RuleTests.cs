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
