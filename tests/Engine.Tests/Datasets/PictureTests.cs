using System.Runtime.CompilerServices;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Pictures;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.Datasets;

/// <summary>Folders of pictures, against what <c>pictures/make.py</c> drew and what Pillow decodes and resizes it to.</summary>
public sealed class PictureTests : IDisposable
{
    private const int Width = 13;
    private const int Height = 9;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // What the lossless forms hold is known from the formula that drew it; a JPEG decoder may round its transform and its colours by 2 steps of 255.
    [Theory]
    [InlineData("gradient.png", 0, null)]
    [InlineData("gradient.bmp", 0, null)]
    [InlineData("palette.png", 0, "palette.bin")]
    [InlineData("gradient.jpg", 2, "jpeg.bin")]
    [InlineData("progressive.jpg", 2, "progressive.bin")]
    public void Decodes_every_pixel(string file, int tolerance, string? reference)
    {
        Put(file);

        AssertClose(reference is null ? Drawn() : Given(reference), Feeds($"pictures: ., width: {Width}, height: {Height}", [1, Height, Width, 3]).Single(), tolerance);
    }

    [Theory]
    [InlineData("gradient.png", "width: 5, height: 4", "smaller.bin", 5, 4, 3)]
    [InlineData("gradient.png", "width: 20, height: 17", "larger.bin", 20, 17, 3)]
    [InlineData("gradient.png", "width: 4, height: 4, fit: crop", "crop.bin", 4, 4, 3)]
    [InlineData("gradient.png", "width: 5, height: 4, channels: grey", "grey-smaller.bin", 5, 4, 1)]
    [InlineData("grey.png", "width: 5, height: 4, channels: grey", "grey-smaller.bin", 5, 4, 1)]
    public void Resizes_as_Pillow_does(string file, string wanted, string reference, int width, int height, int channels)
    {
        Put(file);

        // Pillow rounds to a byte between rows and columns too.
        AssertClose(Given(reference), Feeds($"pictures: ., {wanted}", [1, height, width, channels]).Single(), 1);
    }

    [Fact]
    public void Orders_channels_and_scales_as_the_yaml_says()
    {
        Put("gradient.png");

        var got = Feeds($"pictures: ., width: {Width}, height: {Height}, channels: BGR, layout: NHWC->NCHW, mean: [1, 2, 3], std: [2, 4, 5]", [1, 3, Height, Width]).Single();

        var drawn = Drawn();
        for (var pixel = 0; pixel < Width * Height; pixel++)
        {
            for (var channel = 0; channel < 3; channel++)
                Assert.Equal((drawn[(3 * pixel) + 2 - channel] - (float)(channel + 1)) / (channel == 0 ? 2f : channel + 3), got[(channel * Width * Height) + pixel], 1e-5f);
        }
    }

    [Fact]
    public void Folders_are_classes_in_the_order_of_their_names_and_a_limit_takes_from_all()
    {
        Put("gradient.png", "pictures/b/2.png");
        Put("grey.png", "pictures/b/1.png");
        Put("gradient.png", "pictures/B/x.PNG");
        Put("gradient.png", "pictures/a/z.png");
        Put("gradient.png", "pictures/a/.hidden.png");
        _folder.Write("pictures/a/notes.txt", "not a picture");

        var dataset = Open("pictures: pictures, width: 2, height: 2", "limit: 4");
        var samples = dataset.Bind([Input([1, 2, 2, 3])]).Samples().Select(s => (s.Label, First: s.Feeds.Single()[0].As<float>().ToArray())).ToList();

        Assert.Equal(["B", "a", "b"], dataset.Classes);
        Assert.Equal([0L, 1L, 2L, 2L], samples.Select(s => s.Label!.Value));
        // The first of b is grey: its channels are alike.
        Assert.Equal(samples[2].First[0], samples[2].First[1]);
        Assert.NotEqual(samples[3].First[0], samples[3].First[1]);
    }

    [Fact]
    public void A_packed_folder_gives_the_same_samples_without_a_decoder()
    {
        Put("gradient.png", "pictures/yes/1.png");
        Put("gradient.jpg", "pictures/yes/2.jpg");
        Put("grey.png", "pictures/no/1.png");
        var path = Yaml("pictures: pictures, width: 6, height: 5, fit: crop, layout: NHWC->NCHW, scale: 0.5", "skip: 1");
        using var archive = new MemoryStream();
        using var again = new MemoryStream();

        DatasetPacker.Pack(path, archive, new PictureDecoder());
        DatasetPacker.Pack(path, again, new PictureDecoder());
        archive.Position = 0;
        var unpacked = _folder.Folder("unpacked");
        DatasetPacker.Unpack(archive, unpacked);

        Assert.Equal(archive.ToArray(), again.ToArray());
        var there = Dataset.Open(unpacked, followLinksAndParents: false);
        var here = Dataset.Open(path, pictures: new PictureDecoder());
        Assert.Equal(["no", "yes"], there.Classes);
        Assert.Equal(Content(here), Content(there));

        static List<(long?, string)> Content(Dataset dataset) =>
            [.. dataset.Bind([Input([1, 3, 5, 6])]).Samples().Select(s => (s.Label, string.Join(' ', s.Feeds.Single()[0].As<float>().ToArray())))];
    }

    [Theory]
    [InlineData("pictures: .", "inputs.input.width is missing", "inputs.input.height is missing")]
    [InlineData("pictures: ., width: 0, height: 5000", "inputs.input.width is 0, expected a whole number from 1 to 4096", "inputs.input.height is 5000, expected")]
    [InlineData("pictures: ., width: 2, height: 2, channels: HSV, fit: fill", "inputs.input.channels is \"HSV\", expected RGB, BGR or grey", "inputs.input.fit is \"fill\", expected stretch or crop")]
    [InlineData("pictures: ., width: 2, height: 2, layout: NCHW, file: x.npy", "inputs.input.layout is \"NCHW\", expected NHWC", "inputs.input has the unknown key 'file'")]
    [InlineData("pictures: 7, width: 2, height: 2", "inputs.input.pictures is 7, expected", "")]
    [InlineData("pictures: none, width: 2, height: 2", "names the folder of pictures 'none', which does not exist", "")]
    public void Refuses_a_description_that_cannot_be(string input, string first, string second)
    {
        Put("gradient.png");

        var refused = Assert.Throws<TransformRejectedException>(() => Open(input));

        Assert.Equal("invalid-dataset", refused.Code);
        Assert.Contains(first, refused.Message, StringComparison.Ordinal);
        Assert.Contains(second, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_folders_that_are_no_classes_of_pictures()
    {
        _folder.Folder("a");
        Assert.Contains("holds no picture in 'a'", Assert.Throws<TransformRejectedException>(() => Open("pictures: ., width: 2, height: 2")).Message, StringComparison.Ordinal);
        Put("gradient.png", "loose.png");
        Assert.Contains("holds pictures and folders, 'loose.png' and 'a'", Assert.Throws<TransformRejectedException>(() => Open("pictures: ., width: 2, height: 2")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_pictures_where_nothing_decodes_them_and_outside_of_an_upload()
    {
        Put("gradient.png");
        var path = Yaml("pictures: ., width: 2, height: 2", "");
        Assert.Contains("which are decoded where a dataset is packed", Assert.Throws<TransformRejectedException>(() => Dataset.Open(path)).Message, StringComparison.Ordinal);
        Assert.Contains("which are decoded where a dataset is packed", Assert.Throws<TransformRejectedException>(() => DatasetPacker.Pack(path, Stream.Null)).Message, StringComparison.Ordinal);
        var outside = _folder.Write("inner/dataset.yaml", "inputs: { input: { pictures: .., width: 2, height: 2 } }");
        Assert.Contains("lies outside", Assert.Throws<TransformRejectedException>(() => Dataset.Open(outside, followLinksAndParents: false, new PictureDecoder())).Message, StringComparison.Ordinal);
        Assert.Contains("'input: { pictures: ., width: W", Assert.Throws<TransformRejectedException>(() => Dataset.Open(_folder.Folder("empty"))).Message.Replace("INPUT", "input", StringComparison.Ordinal).Replace("inputs: { input", "'input", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    // Each is the bytes of a picture changed so that a decoder would have to give up; the reason names the file.
    [Theory]
    [InlineData("gradient.png", "cut", "it is damaged or cut off")]
    [InlineData("gradient.jpg", "cut", "it is damaged or cut off")]
    [InlineData("gradient.bmp", "cut", "it is damaged or cut off")]
    [InlineData("gradient.png", "noise", "it is no picture that can be read")]
    [InlineData("gradient.png", "empty", "it is no picture that can be read")]
    [InlineData("palette.gif", "huge", "it is 65535 x 65535 pixels large, and 67108864 pixels are the most that is decoded")]
    public void Refuses_a_picture_that_is_none(string file, string damage, string reason)
    {
        var bytes = File.ReadAllBytes(Fixture(file));
        bytes = damage switch
        {
            "cut" => bytes[..^40],
            "noise" => [.. bytes.Select((b, i) => (byte)(b ^ (i * 37) ^ 0x5a))],
            "empty" => [],
            _ => [.. bytes[..6], 0xff, 0xff, 0xff, 0xff, .. bytes[10..]],
        };
        File.WriteAllBytes(Path.Combine(_folder.Folder("a"), $"bad{Path.GetExtension(file)}"), bytes);

        var before = GC.GetTotalAllocatedBytes(precise: true);
        var refused = Assert.Throws<TransformRejectedException>(() => Feeds("pictures: ., width: 2, height: 2", [1, 2, 2, 3]));

        Assert.Equal("invalid-dataset", refused.Code);
        Assert.Contains($"'a/bad{Path.GetExtension(file)}': {reason}", refused.Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetTotalAllocatedBytes(precise: true) - before, 0, 64 << 20);
    }

    [Fact]
    public void Ten_thousand_wrong_bytes_are_a_picture_or_a_refusal()
    {
        var random = new Random(3);
        var files = ((string[])["gradient.png", "gradient.jpg", "progressive.jpg", "gradient.bmp", "palette.png", "palette.gif"]).Select(f => File.ReadAllBytes(Fixture(f))).ToArray();
        var decoder = new PictureDecoder();
        var read = 0;
        for (var i = 0; i < 10_000; i++)
        {
            var bytes = (byte[])files[i % files.Length].Clone();
            for (var k = random.Next(1, 6); k > 0; k--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            try
            {
                // As small as what was drawn: a header that claims more is refused, one that claims less is a picture.
                Assert.InRange(decoder.Decode(bytes, 1 << 12).Rgb.Length, 1, 3 << 12);
                read++;
            }
            catch (InvalidDataException)
            {
                // One of the two.
            }
        }
        Assert.InRange(read, 1000, 9999);
    }

    private static string Fixture(string name, [CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "pictures", name);

    private static float[] Given(string name) => [.. File.ReadAllBytes(Fixture(name)).Select(b => (float)b)];

    /// <summary>The formula of make.py.</summary>
    private static float[] Drawn() => [.. Enumerable.Range(0, Width * Height).SelectMany(i => Pixel(i % Width, i / Width)).Select(v => (float)(v % 256))];

    private static int[] Pixel(int x, int y) => [x * 20, y * 28, ((x + y) * 11) + (x % 3 * 5)];

    private static void AssertClose(float[] expected, float[] got, int tolerance)
    {
        Assert.Equal(expected.Length, got.Length);
        for (var i = 0; i < got.Length; i++)
            Assert.True(Math.Abs(expected[i] - got[i]) <= tolerance, $"[{i}]: expected {expected[i]}, got {got[i]}");
    }

    private static SampleInput Input(long[] shape) => new("input", ElementType.Float, [.. shape.Select(e => (Dimension)e)]);

    private void Put(string fixture, string? name = null)
    {
        var path = Path.Combine(_folder.Path, name ?? fixture);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.Copy(Fixture(fixture), path);
    }

    private string Yaml(string input, string rest) => _folder.Write("dataset.yaml", $"inputs: {{ input: {{ {input} }} }}\n{rest}\n");

    private Dataset Open(string input, string rest = "") => Dataset.Open(Yaml(input, rest), pictures: new PictureDecoder());

    private List<float[]> Feeds(string input, long[] shape) =>
        [.. Open(input).Bind([Input(shape)]).Samples().Select(s => s.Feeds.Single()[0].As<float>().ToArray())];
}
