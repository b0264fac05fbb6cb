namespace TinyMLaaS.Engine.Datasets;

/// <summary>Reads picture files. The engine itself has none: decoding is native code, which a process takes in only if it reads folders of pictures.</summary>
public interface IPictureDecoder
{
    /// <summary>Decodes a whole file.</summary>
    /// <param name="file">The file's bytes, not trusted.</param>
    /// <param name="maximumPixels">Most pixels; what the header claims is held against it before memory is taken.</param>
    /// <exception cref="InvalidDataException">It is no picture, damaged, cut off or too large; the message is a sentence's part that follows the file's name.</exception>
    DecodedPicture Decode(ReadOnlyMemory<byte> file, long maximumPixels);
}

/// <summary>Pixels row by row, red, green and blue for each.</summary>
/// <param name="Width">Pixels in a row.</param>
/// <param name="Height">Rows.</param>
/// <param name="Rgb">Width * Height * 3 bytes.</param>
public sealed record DecodedPicture(int Width, int Height, byte[] Rgb);
