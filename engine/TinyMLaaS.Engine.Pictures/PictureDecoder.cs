using SkiaSharp;
using TinyMLaaS.Engine.Datasets;

namespace TinyMLaaS.Engine.Pictures;

/// <summary>
/// Decodes PNG, JPEG, WebP, BMP and GIF (its first frame) with Skia. Colours are taken as stored: no profile is applied, transparency is dropped, and the orientation that a camera
/// noted is not followed, as in most training code.
/// </summary>
public sealed class PictureDecoder : IPictureDecoder
{
    /// <inheritdoc/>
    public DecodedPicture Decode(ReadOnlyMemory<byte> file, long maximumPixels)
    {
        using var data = SKData.CreateCopy(file.Span);
        using var codec = SKCodec.Create(data);
        if (codec is null)
            throw new InvalidDataException($"it is no picture that can be read");
        var (width, height) = (codec.Info.Width, codec.Info.Height);
        // The header alone was read so far: what it claims is checked before memory is taken for it.
        if (width < 1 || height < 1 || (long)width * height > maximumPixels)
            throw new InvalidDataException($"it is {width} x {height} pixels large, and {maximumPixels} pixels are the most that is decoded");
        var info = new SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Unpremul);
        using var bitmap = new SKBitmap();
        if (!bitmap.TryAllocPixels(info))
            throw new InvalidDataException("there is no memory for its pixels");
        if (codec.GetPixels(info, bitmap.GetPixels()) is var result and not SKCodecResult.Success)
            throw new InvalidDataException($"it is damaged or cut off ({result})");
        var pixels = bitmap.GetPixelSpan();
        var rgb = new byte[checked(width * height * 3)];
        for (int from = 0, to = 0; to < rgb.Length; from += 4, to += 3)
            (rgb[to], rgb[to + 1], rgb[to + 2]) = (pixels[from], pixels[from + 1], pixels[from + 2]);
        return new DecodedPicture(width, height, rgb);
    }
}
