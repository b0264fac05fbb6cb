namespace TinyMLaaS.Engine.Datasets;

/// <summary>Samples for a network, read from a folder, an <c>.npz</c> or a <c>.yaml</c>; streamed, never all in memory.</summary>
public sealed class Dataset
{
    private Dataset(string path) => Path = path;

    /// <summary>The folder or file it was opened from.</summary>
    public string Path { get; }

    /// <summary>Opens a dataset.</summary>
    public static Dataset Open(string path) => new(path);
}
