using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.Datasets;

public sealed class DatasetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static SampleInput Input(string name, params Dimension[] shape) => new(name, ElementType.Float, [.. shape]);

    private static float[][] Feed(Dataset dataset, params SampleInput[] inputs) =>
        [.. dataset.Bind(inputs).Samples().SelectMany(s => s.Feeds.Select(f => f[0].As<float>().ToArray()))];

    private string Rejection(Func<object?> act)
    {
        var refusal = Assert.Throws<TransformRejectedException>(act);
        Assert.Equal("invalid-dataset", refusal.Code);
        return refusal.Message.Replace(_folder.Path, "<folder>", StringComparison.Ordinal);
    }

    [Fact]
    public void Reads_scaled_pictures_and_labels_from_a_yaml()
    {
        // Two pictures of 1x2 pixels with 3 channels.
        _folder.Write("x.npy", ArrayWriter.Npy<byte>("|u1", [2, 1, 2, 3], 1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60));
        _folder.Write("y.npy", ArrayWriter.Npy<long>("<i8", [2], 7, -1));
        _folder.Write("dataset.yaml", "inputs:\n  input: { file: x.npy, layout: NHWC->NCHW, scale: 0.5, offset: -1 }\nlabels: y.npy\n");
        var bound = Dataset.Open(_folder.Path).Bind([Input("input", "N", 3, 1, 2)]);
        var samples = bound.Samples().Select(s => (s.Index, s.Label, Feed: s.Feeds.Single().Copy()[0])).ToArray();
        Assert.Equal((2, true, 1L), (bound.Count, bound.HasLabels, bound.FeedsPerSample));
        Assert.Equal([(0, 7L), (1, -1L)], samples.Select(s => (s.Index, s.Label!.Value)));
        Assert.Equal([1, 3, 1, 2], samples[0].Feed.Shape);
        Assert.Equal([-0.5f, 1, 0, 1.5f, 0.5f, 2], samples[0].Feed.As<float>().ToArray());
        Assert.Equal([4f, 19, 9, 24, 14, 29], samples[1].Feed.As<float>().ToArray());
    }

    [Theory]
    [InlineData("NHWC->NCHW", new float[] { 0, 3, -1, 0 })]
    [InlineData("NHWC", new float[] { 0, -1, 3, 0 })]
    [InlineData("NCHW", new float[] { 0, 1, 0, 1 })]
    [InlineData("NCHW->NHWC", new float[] { 0, 0, 1, 1 })]
    public void Normalises_each_channel_where_the_layout_says_it_lies(string layout, float[] expected)
    {
        // Height 1: channels of the same file lie last in NHWC (2 pixels, 2 channels) and first in NCHW.
        var values = layout.StartsWith("NHWC", StringComparison.Ordinal) ? new float[] { 1, 6, 7, 10 } : [1, 3, 10, 14];
        var shape = layout.StartsWith("NHWC", StringComparison.Ordinal) ? new[] { 1, 1, 2, 2 } : [1, 2, 1, 2];
        _folder.Write("x.npy", ArrayWriter.Npy("<f4", shape, values));
        _folder.Write("dataset.yaml", $"inputs: {{ x: {{ file: x.npy, layout: {layout}, mean: [1, 10], std: [2, 4] }} }}\n");
        Assert.Equal(expected, Feed(Dataset.Open(_folder.Path), Input("x", 4)).Single());
    }

    [Theory]
    [InlineData("<f2", ElementType.Float16)]
    [InlineData("<f4", ElementType.Float)]
    [InlineData("<f8", ElementType.Double)]
    [InlineData("|i1", ElementType.Int8)]
    [InlineData("<i2", ElementType.Int16)]
    [InlineData("<i4", ElementType.Int32)]
    [InlineData("<i8", ElementType.Int64)]
    [InlineData("|u1", ElementType.UInt8)]
    [InlineData("<u2", ElementType.UInt16)]
    [InlineData("<u4", ElementType.UInt32)]
    [InlineData("<u8", ElementType.UInt64)]
    [InlineData("|b1", ElementType.Bool)]
    [InlineData(">f4", ElementType.Float)]
    [InlineData(">i2", ElementType.Int16)]
    public void Reads_and_feeds_every_element_type(string descr, ElementType type)
    {
        byte[] content = descr switch
        {
            "<f2" => BitConverter.GetBytes((Half)1),
            "<f4" => BitConverter.GetBytes(1f),
            "<f8" => BitConverter.GetBytes(1d),
            ">f4" => [0x3F, 0x80, 0, 0],
            ">i2" => [0, 1],
            _ => [1, .. new byte[(descr[2] - '0') - 1]],
        };
        foreach (var version in new byte[] { 1, 2, 3 })
        {
            _folder.Write("x.npy", ArrayWriter.Npy($"{{'fortran_order': False, 'shape': (1,), 'descr': '{descr}'}}", content, version));
            var fed = Dataset.Open(System.IO.Path.Combine(_folder.Path, "x.npy")).Bind([new SampleInput("x", type, [1])]).Samples().Single().Feeds.Single()[0];
            Assert.Equal(type, fed.Type);
            Assert.Equal(descr[0] == '>' ? content.Reverse() : content, fed.Bytes.ToArray());
        }
    }

    [Fact]
    public void Binds_arrays_by_name_and_labels_from_an_npz_with_a_yaml_beside()
    {
        var npz = _folder.Write("data.npz", ArrayWriter.Npz(("a", ArrayWriter.Npy<float>("<f4", [3, 1], 1, 2, 3)), ("b", ArrayWriter.Npy<int>("<i4", [3], 4, 5, 6)), ("labels", ArrayWriter.Npy<byte>("|u1", [3], 0, 1, 0))));
        _folder.Write("data.yaml", "limit: 2\n");
        foreach (var path in new[] { npz, System.IO.Path.Combine(_folder.Path, "data.yaml") })
        {
            var samples = Dataset.Open(path).Bind([new SampleInput("b", ElementType.Int64, []), Input("a", "batch", 1)]).Samples()
                .Select(s => (s.Label, B: s.Feeds.Single()[0].As<long>()[0], A: s.Feeds.Single()[1].As<float>()[0])).ToArray();
            Assert.Equal([(0L, 4L, 1f), (1L, 5L, 2f)], samples.Select(s => (s.Label!.Value, s.B, s.A)));
        }
    }

    [Fact]
    public void Reads_mnist_style_files_plain_and_gzipped()
    {
        byte[] pictures = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4];
        byte[] classes = [0, 0, 8, 1, 0, 0, 0, 2, 5, 9];
        _folder.Write("train-images-idx3-ubyte", pictures);
        _folder.Write("train-labels-idx1-ubyte.gz", ArrayWriter.Gzip(classes));
        Assert.Equal([5L, 9], Dataset.Open(_folder.Path).Bind([Input("x", 1, 2)]).Samples().Select(s => s.Label!.Value));
        Assert.Equal([[1f, 2], [3, 4]], Feed(Dataset.Open(_folder.Path), Input("x", "N", 1, 1, 2)));
    }

    [Theory]
    [InlineData(true, new[] { 1L, 4 })]
    [InlineData(false, new[] { 1L, 2, 2 })]
    public void Runs_windows_over_the_first_axis(bool flatten, long[] shape)
    {
        _folder.Write("x.npy", ArrayWriter.Npy("<f4", [2, 5, 2], [.. Enumerable.Range(0, 20).Select(i => (float)i)]));
        _folder.Write("dataset.yaml", $"inputs: {{ x: x.npy }}\nwindow: {{ length: 2, step: 2, flatten: {(flatten ? "true" : "false")}, reduce: max }}\nlimit: 1\n");
        var bound = Dataset.Open(_folder.Path).Bind([new SampleInput("x", ElementType.Float, ["N", .. shape[1..].Select(d => (Dimension)d)])]);
        var feeds = bound.Samples().Single().Feeds.Select(f => f[0]).ToArray();
        Assert.Equal(((int, long, WindowReduce))(1, 2, WindowReduce.Max), (bound.Count, bound.FeedsPerSample, bound.Window!.Reduce));
        Assert.All(feeds, f => Assert.Equal(shape, f.Shape));
        Assert.Equal([[0f, 1, 2, 3], [4, 5, 6, 7]], feeds.Select(f => f.As<float>().ToArray()));
    }

    [Fact]
    public void Puts_zeros_before_the_first_window_after_scaling()
    {
        _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [1, 4], 1, 2, 3, 4));
        _folder.Write("dataset.yaml", "inputs: { x: { file: x.npy, scale: 10, offset: 1 } }\nwindow: { length: 3, step: 2, pad-before: 2, flatten: true }\n");
        Assert.Equal([[0f, 0, 11], [11, 21, 31]], Feed(Dataset.Open(_folder.Path), Input("x", "N", 3)));
        // More than a whole window of zeros is nothing special.
        _folder.Write("dataset.yaml", "inputs: { x: x.npy }\nwindow: { length: 2, step: 2, pad-before: 4, flatten: true }\n");
        Assert.Equal([[0f, 0], [0, 0], [1, 2], [3, 4]], Feed(Dataset.Open(_folder.Path), Input("x", "N", 2)));
    }

    [Fact]
    public void Leaves_out_the_samples_to_skip()
    {
        _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [5, 1], 1, 2, 3, 4, 5));
        _folder.Write("y.npy", ArrayWriter.Npy<byte>("|u1", [5], 1, 2, 3, 4, 5));
        _folder.Write("dataset.yaml", "inputs: { x: x.npy }\nlabels: y.npy\nskip: 2\nlimit: 2\n");
        Assert.Equal([(0, 3L, 3f), (1, 4, 4)], Dataset.Open(_folder.Path).Bind([Input("x", 1)]).Samples().Select(s => (s.Index, s.Label!.Value, s.Feeds.Single()[0].As<float>()[0])));
        _folder.Write("dataset.yaml", "inputs: { x: x.npy }\nskip: 4\nlimit: 9\n");
        Assert.Equal([[5f]], Feed(Dataset.Open(_folder.Path), Input("x", 1)));
        _folder.Write("dataset.yaml", "inputs: { x: x.npy }\nskip: 5\n");
        Assert.Contains("skips 5 samples, and 'x.npy' has 5", Rejection(() => Dataset.Open(_folder.Path).Bind([Input("x", 1)])), StringComparison.Ordinal);
    }

    [Fact]
    public void Gives_inputs_a_value_or_says_which_output_they_take()
    {
        _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [2, 2], 1, 2, 3, 4));
        _folder.Write("dataset.yaml", "inputs:\n  x: x.npy\n  rate: { value: 16000 }\n  state: { value: 0.5, from-output: next }\nwindow: { length: 1, flatten: true }\n");
        var bound = Dataset.Open(_folder.Path).Bind([Input("state", 2, "batch", 3), new SampleInput("rate", ElementType.Int64, []), Input("x", "batch", 1)]);
        Assert.Equal([new CarriedInput(0, "next")], bound.Carried);
        var feeds = bound.Samples().SelectMany(s => s.Feeds).ToArray();
        Assert.Equal([0L, 1, 0, 1], feeds.Select(f => f.Place));
        foreach (var feed in feeds)
        {
            Assert.Equal(bound.Carried, feed.Carried);
            Assert.Equal([2L, 1, 3], feed[0].Shape);
            Assert.Equal(Enumerable.Repeat(0.5f, 6), feed[0].As<float>().ToArray());
            Assert.Empty(feed[1].Shape);
            Assert.Equal(16000, feed[1].As<long>()[0]);
        }
        Assert.Equal([1f, 2, 3, 4], feeds.Select(f => f[2].As<float>()[0]));
    }

    [Fact]
    public void Refuses_a_value_that_an_input_cannot_hold()
    {
        _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [1, 1], 1));
        _folder.Write("dataset.yaml", "inputs: { x: x.npy, v: { value: 300 } }\n");
        string Bind(SampleInput input) => Rejection(() => Dataset.Open(_folder.Path).Bind([Input("x", 1), input]));
        Assert.Contains("gives the value 300, which does not fit the network's input 'v' UInt8[1]", Bind(new SampleInput("v", ElementType.UInt8, [1])), StringComparison.Ordinal);
        Assert.Contains("is no number", Bind(new SampleInput("v", ElementType.String, [])), StringComparison.Ordinal);
        Assert.Contains("more than 256 MiB", Bind(Input("v", 1 << 20, 1 << 20)), StringComparison.Ordinal);
        Assert.Contains("more than 256 MiB", Bind(Input("v", long.MaxValue, 4)), StringComparison.Ordinal);
        Assert.Contains("or give the input a value", Bind(Input("w", 1)), StringComparison.Ordinal);
    }

    [Fact]
    public void Takes_free_extents_from_the_sample()
    {
        _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [1, 3, 2], 1, 2, 3, 4, 5, 6));
        var dataset = Dataset.Open(_folder.Path);
        Assert.Equal([1, 3, 2], dataset.Bind([Input("x", "batch", "height", 2)]).Samples().Single().Feeds.Single()[0].Shape);
        Assert.Contains("takes other elements", Rejection(() => dataset.Bind([Input("x", "batch", "height", 3)])), StringComparison.Ordinal);
    }

    [Fact]
    public void Can_be_read_twice()
    {
        _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [2, 1], 1, 2));
        var bound = Dataset.Open(_folder.Path).Bind([Input("x", 1)]);
        for (var round = 0; round < 2; round++)
            Assert.Equal([1f, 2], bound.Samples().Select(s => s.Feeds.Single()[0].As<float>()[0]));
    }

    [Theory]
    [InlineData("inputs: { x: { file: x.npy, size: 3 } }", "inputs.x has the unknown key 'size'")]
    [InlineData("input: { x: x.npy }", "the document has the unknown key 'input'")]
    [InlineData("inputs: { x: { file: x.npy, layout: CHW } }", "inputs.x.layout is \"CHW\", expected as-is")]
    [InlineData("inputs: { x: { file: x.npy, scale: big } }", "inputs.x.scale is \"big\", expected a number")]
    [InlineData("inputs: { x: { file: x.npy, scale: 0 } }", "scale of 0")]
    [InlineData("inputs: { x: { file: x.npy, mean: [1] } }", "only one of mean and std")]
    [InlineData("inputs: { x: { file: x.npy, mean: [1, 2], std: [1] } }", "2 means and 1 standard deviations")]
    [InlineData("inputs: { x: { file: x.npy, mean: [1, 2], std: [1, 1] } }", "say in layout where the channels lie")]
    [InlineData("inputs: [x.npy]", "inputs is [\"x.npy\"], expected a mapping")]
    [InlineData("inputs: { x: x.npy }\nlimit: 0", "limit is 0, expected a whole number from 1")]
    [InlineData("inputs: { x: x.npy }\nwindow: { step: 2 }", "window.length is missing")]
    [InlineData("inputs: { x: x.npy }\nwindow: { length: 1, reduce: sum }", "window.reduce is \"sum\", expected mean or max")]
    [InlineData("inputs: { x: x.npy }\nwindow: { length: 1, pad-before: -1 }", "window.pad-before is -1, expected a whole number from 0")]
    [InlineData("inputs: { x: x.npy }\nskip: -1", "skip is -1, expected a whole number from 0")]
    [InlineData("inputs: { x: x.npy, v: { value: much } }", "inputs.v.value is \"much\", expected a number")]
    [InlineData("inputs: { x: x.npy, v: { value: null } }", "inputs.v.value is null, expected a number")]
    [InlineData("inputs: { x: x.npy, v: { from-output: 3 } }", "inputs.v.from-output is 3, expected text")]
    [InlineData("inputs: { x: x.npy, v: { from-output: '' } }", "inputs.v.from-output is \"\", expected the name of an output")]
    [InlineData("inputs: { x: x.npy, v: { value: 1, file: x.npy } }", "inputs.v has 'file' beside value")]
    [InlineData("inputs: { x: x.npy, v: { from-output: o, scale: 2 } }", "inputs.v has 'scale' beside from-output")]
    [InlineData("inputs: { v: { value: 1 }, w: { from-output: o } }", "inputs names no file")]
    [InlineData("inputs: { x: x.npy }\nlabels: 3", "labels is 3, expected text")]
    [InlineData("inputs: { x: none.npy }", "names the file 'none.npy', which does not exist")]
    [InlineData("inputs: { x: { file: x.npy, array: a } }", "only an .npz holds named arrays")]
    [InlineData("inputs: { x: { file: two.npz } }", "holds 'a', 'b'. Say 'array: NAME'")]
    [InlineData("inputs: { x: { file: two.npz, array: c } }", "has no array 'c'; it holds 'a', 'b'")]
    [InlineData("inputs: { x: x.npy }\nlabels: two-axes.npy", "expected one number for each sample")]
    [InlineData("inputs: { x: x.npy }\nlabels: real.npy", "expected whole numbers")]
    [InlineData("inputs: { x: x.npy", "Line 2, column 1")]
    public void Refuses_a_wrong_yaml_and_says_what_is_expected(string yaml, string says)
    {
        _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [2, 1], 1, 2));
        _folder.Write("two-axes.npy", ArrayWriter.Npy<int>("<i4", [2, 1], 1, 2));
        _folder.Write("real.npy", ArrayWriter.Npy<float>("<f4", [2], 1, 2));
        _folder.Write("two.npz", ArrayWriter.Npz(("a", ArrayWriter.Npy<float>("<f4", [1], 1)), ("b", ArrayWriter.Npy<float>("<f4", [1], 1))));
        _folder.Write("dataset.yaml", yaml + "\n");
        Assert.Contains(says, Rejection(() => Dataset.Open(_folder.Path)), StringComparison.Ordinal);
    }

    [Fact]
    public void Names_every_violation_of_a_yaml_at_once()
    {
        _folder.Write("dataset.yaml", "inputs: { x: { file: 3, layout: CHW }, v: { value: a, from-output: 1, file: b } }\nlimit: -1\nwindows: 3\n");
        Assert.Equal(7, Rejection(() => Dataset.Open(_folder.Path)).Split('\n').Length);
    }

    [Fact]
    public void Refuses_an_array_that_is_cut_off_or_claims_what_no_file_holds()
    {
        var whole = ArrayWriter.Npy<float>("<f4", [2, 1], 1, 2);
        string Message(byte[] content) => Rejection(() => Dataset.Open(_folder.Write("x.npy", content)));
        Assert.Contains("takes 8 bytes, it has 7", Message(whole[..^1]), StringComparison.Ordinal);
        Assert.Contains("cut off", Message(whole[..50]), StringComparison.Ordinal);
        Assert.Contains("no NumPy array", Message([.. "NUMPY"u8, .. whole[5..]]), StringComparison.Ordinal);
        Assert.Contains("no file can hold", Message(ArrayWriter.Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", [])), StringComparison.Ordinal);
        Assert.Contains("no file can hold", Message(ArrayWriter.Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", [])), StringComparison.Ordinal);
        Assert.Contains("takes 4000000 bytes, it has 0", Message(ArrayWriter.Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000,)}", [])), StringComparison.Ordinal);
        Assert.Contains("256 MiB", Message(ArrayWriter.Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 100000000)}", [])), StringComparison.Ordinal);
        Assert.Contains("Fortran order", Message(ArrayWriter.Npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}", new byte[4])), StringComparison.Ordinal);
        Assert.Contains("type '<c8'", Message(ArrayWriter.Npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", new byte[8])), StringComparison.Ordinal);
        Assert.Contains("no plain array", Message(ArrayWriter.Npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", new byte[4])), StringComparison.Ordinal);
        Assert.Contains("single value", Message(ArrayWriter.Npy("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", new byte[4])), StringComparison.Ordinal);
        Assert.Contains("Cannot read", Rejection(() => Dataset.Open(_folder.Write("x.npz", whole))), StringComparison.Ordinal);
        var gzip = _folder.Write("x-idx1-ubyte.gz", ArrayWriter.Gzip([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]));
        Assert.Contains("ends in sample 2 of the 3", Rejection(() => Dataset.Open(gzip).Bind([Input("x", 1)]).Samples().ToArray()), StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_what_does_not_fit_the_network()
    {
        var path = _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [2, 3], 1, 2, 300, 4, 5, float.NaN));
        string Bind(params SampleInput[] inputs) => Rejection(() => Dataset.Open(path).Bind(inputs).Samples().SelectMany(s => s.Feeds.ToArray()).ToArray());
        Assert.Contains("takes 4 elements, but a sample of 'x.npy' gives [3], 3 elements", Bind(Input("x", "N", 4)), StringComparison.Ordinal);
        Assert.Contains("fixed batch of 8", Bind(Input("x", 8, 3)), StringComparison.Ordinal);
        Assert.Contains("no array for the network's input 'b' Float[1]; it has 'x'", Bind(Input("x", 3), Input("b", 1)), StringComparison.Ordinal);
        Assert.Contains("Sample 1 of 'x.npy' holds NaN", Bind(Input("x", 3)), StringComparison.Ordinal);
        Assert.Contains("Sample 0 of 'x.npy' holds 300", Bind(new SampleInput("x", ElementType.UInt8, [3])), StringComparison.Ordinal);
        Assert.Contains("is no number", Bind(new SampleInput("x", ElementType.String, [3])), StringComparison.Ordinal);
        _folder.Write("dataset.yaml", "inputs: { x: x.npy, z: x.npy }\n");
        Assert.Contains("names an input 'z', which the network does not have; it has 'x'", Rejection(() => Dataset.Open(_folder.Path).Bind([Input("x", 3)])), StringComparison.Ordinal);
        _folder.Write("dataset.yaml", "inputs: { x: x.npy }\nwindow: { length: 4 }\n");
        Assert.Contains("too short for a window of 4", Rejection(() => Dataset.Open(_folder.Path).Bind([Input("x", 3)])), StringComparison.Ordinal);
        _folder.Write("dataset.yaml", "inputs: { x: { file: x.npy, layout: NHWC->NCHW } }\n");
        Assert.Contains("layout of height, width and channels", Rejection(() => Dataset.Open(_folder.Path).Bind([Input("x", 3)])), StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_labels_that_are_fewer_than_the_samples_unless_the_limit_leaves_them_out()
    {
        _folder.Write("x.npy", ArrayWriter.Npy<float>("<f4", [3], 1, 2, 3));
        _folder.Write("labels.npy", ArrayWriter.Npy<byte>("|u1", [2], 1, 2));
        Assert.Contains("'x.npy' has 3 samples, 'labels.npy' has 2", Rejection(() => Dataset.Open(_folder.Path).Bind([Input("x", 1)])), StringComparison.Ordinal);
        _folder.Write("dataset.yaml", "limit: 2\n");
        Assert.Equal(2, Dataset.Open(_folder.Path).Bind([Input("x", 1)]).Count);
    }

    [Fact]
    public void Follows_links_and_parents_only_for_the_owner_of_the_files()
    {
        var outside = _folder.Write("outside.npy", ArrayWriter.Npy<float>("<f4", [1], 1));
        var folder = _folder.Folder("set");
        File.CreateSymbolicLink(System.IO.Path.Combine(folder, "link.npy"), outside);
        foreach (var (file, says) in new[] { ("../outside.npy", "outside the dataset's folder"), (outside, "outside the dataset's folder"), ("link.npy", "symbolic link") })
        {
            _folder.Write("set/dataset.yaml", $"inputs: {{ x: {file} }}\n");
            Assert.Equal([1f], Feed(Dataset.Open(folder), Input("x", 1)).Single());
            Assert.Contains(says, Rejection(() => Dataset.Open(folder, followLinksAndParents: false)), StringComparison.Ordinal);
        }
        File.Delete(System.IO.Path.Combine(folder, "dataset.yaml"));
        Assert.Contains("symbolic link", Rejection(() => Dataset.Open(folder, followLinksAndParents: false)), StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_a_folder_that_could_mean_several_things_or_nothing()
    {
        Assert.Contains("holds no array", Rejection(() => Dataset.Open(_folder.Path)), StringComparison.Ordinal);
        Assert.Contains("no such file or folder", Rejection(() => Dataset.Open(System.IO.Path.Combine(_folder.Path, "none"))), StringComparison.Ordinal);
        _folder.Write("a.npz", ArrayWriter.Npz(("x", ArrayWriter.Npy<float>("<f4", [1], 1))));
        Assert.NotNull(Dataset.Open(_folder.Path).Bind([Input("x", 1)]));
        _folder.Write("b.npy", ArrayWriter.Npy<float>("<f4", [1], 1));
        Assert.Contains("one .npz alone", Rejection(() => Dataset.Open(_folder.Path)), StringComparison.Ordinal);
    }
}
