using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;

namespace TinyMLaaS.Benchmarks.Engine;

/// <summary>
/// Networks of well-known shapes as a training framework exports them, batch normalization unfolded, with seeded weights (He et al., "Delving Deep into Rectifiers", 2015, section 2.2):
/// what quantizing costs and gains in time does not depend on what a network has learned.
/// </summary>
internal sealed class GeneratedNetworks
{
    /// <summary>Extents of a sample: channels, height, width.</summary>
    public static readonly int[] SampleShape = [3, 224, 224];

    private const int Classes = 1000;

    private readonly Graph _graph;
    private readonly Random _random;
    private Value _value;
    private int _channels = SampleShape[0];

    private GeneratedNetworks(string name, int seed)
    {
        _graph = new Graph(name);
        _random = new Random(seed);
        _value = _graph.AddInput("input");
        _value.Type = ElementType.Float;
        _value.Shape = ["N", .. SampleShape.Select(d => (Dimension)d)];
    }

    /// <summary>ResNet-50 (He et al., "Deep Residual Learning for Image Recognition", 2015, table 1): 25.6 million parameters, 102 MB, 4.1 billion multiply-accumulates.</summary>
    public static byte[] ResNet50(int seed)
    {
        var net = new GeneratedNetworks("resnet50", seed);
        net.Convolve(64, kernel: 7, stride: 2);
        net.Relu();
        net._value = net.Node("MaxPool", [net._value], ("kernel_shape", Ints(3, 3)), ("strides", Ints(2, 2)), ("pads", Ints(1, 1, 1, 1)));
        foreach (var (blocks, width, stride) in new[] { (3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2) })
        {
            for (var block = 0; block < blocks; block++)
                net.Bottleneck(width, block == 0 ? stride : 1);
        }
        return net.Finish();
    }

    /// <summary>MobileNetV2 (Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2): 3.5 million parameters, 14 MB, 300 million multiply-accumulates.</summary>
    public static byte[] MobileNetV2(int seed)
    {
        var net = new GeneratedNetworks("mobilenetv2", seed);
        net.Convolve(32, kernel: 3, stride: 2);
        net.Relu6();
        foreach (var (expansion, channels, blocks, stride) in new[] { (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1) })
        {
            for (var block = 0; block < blocks; block++)
                net.InvertedResidual(expansion, channels, block == 0 ? stride : 1);
        }
        net.Convolve(1280, kernel: 1);
        net.Relu6();
        return net.Finish();
    }

    /// <summary>A sample from the normal distribution.</summary>
    public static float[] Sample(int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, SampleShape.Aggregate(1, (a, b) => a * b)).Select(_ => Normal(random))];
    }

    private void Bottleneck(int width, int stride)
    {
        var (shortcut, channels) = (_value, _channels);
        Convolve(width, kernel: 1);
        Relu();
        Convolve(width, kernel: 3, stride);
        Relu();
        Convolve(width * 4, kernel: 1, gain: 0.3f);
        var main = _value;
        if (channels != width * 4)
        {
            (_value, _channels) = (shortcut, channels);
            Convolve(width * 4, kernel: 1, stride);
            shortcut = _value;
        }
        _value = Node("Add", [main, shortcut]);
        Relu();
    }

    private void InvertedResidual(int expansion, int channels, int stride)
    {
        var shortcut = stride == 1 && channels == _channels ? _value : null;
        if (expansion > 1)
        {
            Convolve(_channels * expansion, kernel: 1);
            Relu6();
        }
        Convolve(_channels, kernel: 3, stride, group: _channels);
        Relu6();
        Convolve(channels, kernel: 1, gain: 0.5f);
        if (shortcut is not null)
            _value = Node("Add", [_value, shortcut]);
    }

    private void Convolve(int channels, int kernel, int stride = 1, int group = 1, float gain = 1)
    {
        var fan = _channels / group * kernel * kernel;
        var weight = Constant([channels, _channels / group, kernel, kernel], MathF.Sqrt(2f / fan));
        var pad = kernel / 2;
        var convolved = Node("Conv", [_value, weight], ("kernel_shape", Ints(kernel, kernel)), ("strides", Ints(stride, stride)), ("pads", Ints(pad, pad, pad, pad)), ("group", new AttributeValue.Int(group)));
        _value = Node("BatchNormalization", [convolved, Vector(channels, () => gain * (0.8f + (0.4f * _random.NextSingle()))), Vector(channels, () => 0.1f * Normal(_random)),
            Vector(channels, () => 0.1f * Normal(_random)), Vector(channels, () => 0.6f + (0.8f * _random.NextSingle()))]);
        _channels = channels;
    }

    private void Relu() => _value = Node("Relu", [_value]);

    private void Relu6() => _value = Node("Clip", [_value, _graph.AddConstant("low", Tensor.Scalar(0f)), _graph.AddConstant("high", Tensor.Scalar(6f))]);

    private byte[] Finish()
    {
        var pooled = Node("Flatten", [Node("GlobalAveragePool", [_value])]);
        var classes = Node("Gemm", [pooled, Constant([Classes, _channels], MathF.Sqrt(1f / _channels)), Vector(Classes, () => 0.1f * Normal(_random))], ("transB", new AttributeValue.Int(1)));
        _graph.AddOutput(classes);
        return OnnxFile.ToBytes(new Model(_graph, new Dictionary<string, long> { [""] = 13 }, 8));
    }

    private Value Node(string opType, Value[] inputs, params (string Name, AttributeValue Value)[] attributes)
    {
        var output = _graph.AddNode(opType, inputs, opType.ToLowerInvariant());
        foreach (var (name, value) in attributes)
            output.Producer!.Set(name, value);
        return output;
    }

    private Value Constant(long[] shape, float deviation)
    {
        var values = new float[Tensor.CountOf(shape)];
        for (var i = 0; i < values.Length; i++)
            values[i] = deviation * Normal(_random);
        return _graph.AddConstant("weight", Tensor.From<float>(shape, values));
    }

    private Value Vector(int length, Func<float> next) => _graph.AddConstant("vector", Tensor.Vector<float>([.. Enumerable.Range(0, length).Select(_ => next())]));

    private static AttributeValue.Ints Ints(params long[] values) => new([.. values]);

    private static float Normal(Random random) => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
}
