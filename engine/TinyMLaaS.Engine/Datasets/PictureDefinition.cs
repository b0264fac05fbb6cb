namespace TinyMLaaS.Engine.Datasets;

/// <summary>A folder of pictures in a <c>dataset.yaml</c>, and what becomes of each of them.</summary>
/// <param name="Folder">The folder, relative to the yaml.</param>
/// <param name="Width">Pixels in a row afterwards.</param>
/// <param name="Height">Rows afterwards.</param>
/// <param name="Channels">Which channels, in which order.</param>
/// <param name="Crops">True keeps the proportions and cuts the middle out; false stretches.</param>
internal sealed record PictureDefinition(string Folder, int Width, int Height, PictureChannels Channels, bool Crops);

/// <summary>Channels of a sample that is a picture.</summary>
internal enum PictureChannels
{
    Rgb,
    Bgr,
    Grey,
}
