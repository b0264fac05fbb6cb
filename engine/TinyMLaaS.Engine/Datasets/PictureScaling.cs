namespace TinyMLaaS.Engine.Datasets;

/// <summary>
/// Resizes pictures with a triangle filter as wide as the scale (bilinear where it enlarges, antialiased where it shrinks), first along rows, then along columns, in doubles, rounded once at
/// the end: the same bytes on every machine.
/// </summary>
internal static class PictureScaling
{
    /// <summary>The picture in the size and channels asked for, row by row, the channels of a pixel together.</summary>
    public static byte[] Apply(DecodedPicture picture, PictureDefinition wanted)
    {
        var channels = wanted.Channels == PictureChannels.Grey ? 1 : 3;
        var source = Channels(picture, wanted.Channels);
        var (left, top, width, height) = (0.0, 0.0, (double)picture.Width, (double)picture.Height);
        if (wanted.Crops)
        {
            var scale = Math.Min(width / wanted.Width, height / wanted.Height);
            (left, top) = ((width - (scale * wanted.Width)) / 2, (height - (scale * wanted.Height)) / 2);
            (width, height) = (scale * wanted.Width, scale * wanted.Height);
        }
        var columns = Weights(left, width, picture.Width, wanted.Width);
        var rows = Weights(top, height, picture.Height, wanted.Height);
        var result = new byte[wanted.Width * wanted.Height * channels];
        // Rows of the source are narrowed when they are first needed and forgotten after: a large picture takes little besides itself.
        var narrow = new Dictionary<int, double[]>();
        for (var y = 0; y < wanted.Height; y++)
        {
            var (first, weights) = rows[y];
            foreach (var spent in narrow.Keys.Where(k => k < first).ToList())
                narrow.Remove(spent);
            var sums = new double[wanted.Width * channels];
            for (var i = 0; i < weights.Length; i++)
            {
                if (!narrow.TryGetValue(first + i, out var row))
                    narrow.Add(first + i, row = Narrow(source.AsSpan((first + i) * picture.Width * channels, picture.Width * channels), columns, channels));
                for (var k = 0; k < sums.Length; k++)
                    sums[k] += weights[i] * row[k];
            }
            for (var k = 0; k < sums.Length; k++)
                result[(y * sums.Length) + k] = (byte)Math.Clamp(Math.Floor(sums[k] + 0.5), 0, 255);
        }
        return result;
    }

    private static double[] Narrow(ReadOnlySpan<byte> row, (int First, double[] Weights)[] columns, int channels)
    {
        var result = new double[columns.Length * channels];
        for (var x = 0; x < columns.Length; x++)
        {
            var (first, weights) = columns[x];
            for (var i = 0; i < weights.Length; i++)
            {
                for (var c = 0; c < channels; c++)
                    result[(x * channels) + c] += weights[i] * row[((first + i) * channels) + c];
            }
        }
        return result;
    }

    /// <summary>For each target place the first source place and the weights from there on, which add up to 1.</summary>
    private static (int First, double[] Weights)[] Weights(double start, double length, int extent, int target)
    {
        var scale = length / target;
        var reach = Math.Max(1, scale);
        var places = new (int First, double[] Weights)[target];
        for (var i = 0; i < target; i++)
        {
            var center = start + ((i + 0.5) * scale);
            var first = (int)Math.Clamp(Math.Floor(center - reach + 0.5), 0, extent - 1);
            var last = (int)Math.Clamp(Math.Floor(center + reach + 0.5) - 1, first, extent - 1);
            double[] weights = [.. Enumerable.Range(first, last - first + 1).Select(k => Math.Max(0, 1 - (Math.Abs(k + 0.5 - center) / reach)))];
            var sum = weights.Sum();
            places[i] = (first, sum > 0 ? [.. weights.Select(w => w / sum)] : [.. weights.Select(_ => 1.0 / weights.Length)]);
        }
        return places;
    }

    private static byte[] Channels(DecodedPicture picture, PictureChannels wanted)
    {
        var rgb = picture.Rgb;
        if (wanted == PictureChannels.Rgb)
            return rgb;
        var pixels = rgb.Length / 3;
        var result = new byte[wanted == PictureChannels.Grey ? pixels : rgb.Length];
        for (var i = 0; i < pixels; i++)
        {
            var (r, g, b) = (rgb[3 * i], rgb[(3 * i) + 1], rgb[(3 * i) + 2]);
            if (wanted == PictureChannels.Grey)
                result[i] = (byte)(((r * 19595) + (g * 38470) + (b * 7471) + 0x8000) >> 16);   // ITU-R BT.601: 0.299, 0.587, 0.114
            else
                (result[3 * i], result[(3 * i) + 1], result[(3 * i) + 2]) = (b, g, r);
        }
        return result;
    }
}
