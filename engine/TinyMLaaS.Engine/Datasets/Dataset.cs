namespace TinyMLaaS.Engine.Datasets;

/// <summary>
/// Samples for a network, read from a folder, an <c>.npz</c>, an <c>.npy</c>, an idx file or a <c>.yaml</c> that names such files; streamed, never all in memory.
/// What it holds is fixed when it is opened; which of it a network takes is settled by <see cref="Bind"/>.
/// </summary>
public sealed class Dataset
{
    private readonly DatasetFiles _files;

    private Dataset(DatasetFiles files) => _files = files;

    /// <summary>The folder or file it was opened from.</summary>
    public string Path => _files.Path;

    /// <summary>True when every sample has a class.</summary>
    public bool HasLabels => _files.Labels is not null;

    /// <summary>Names of the classes in the order of their labels, as folders of pictures or the yaml tell them; null otherwise.</summary>
    public IReadOnlyList<string>? Classes => _files.Classes;

    /// <summary>How a sample becomes several network inputs; null when it is one.</summary>
    public DatasetWindow? Window => _files.Definition.Window;

    internal DatasetFiles Files => _files;

    /// <summary>Opens a dataset: reads its yaml and the headers of its files.</summary>
    /// <param name="path">A folder (with a <c>dataset.yaml</c>, or one <c>.npz</c>, or <c>.npy</c> and idx files), or one such file.</param>
    /// <param name="followLinksAndParents">
    /// True lets the yaml name files anywhere, as the owner of the files may. False is for what was uploaded: files must lie under the dataset's own folder, and no symbolic link is followed.
    /// </param>
    /// <param name="pictures">Reads folders of pictures; without it, a dataset with such a folder is refused.</param>
    /// <exception cref="Transformers.TransformRejectedException"><c>invalid-dataset</c>: a file is missing, cut off, malformed or outside, or the yaml says what nobody knows.</exception>
    public static Dataset Open(string path, bool followLinksAndParents = true, IPictureDecoder? pictures = null) => new(DatasetFiles.Open(path, followLinksAndParents, pictures));

    /// <summary>Settles which array feeds which input of a network, and that all fit.</summary>
    /// <param name="inputs">The network's inputs, in its order. A single array feeds a single input whatever their names.</param>
    /// <exception cref="Transformers.TransformRejectedException"><c>invalid-dataset</c>: an input has no array, counts differ, or a sample has another number of elements than the input.</exception>
    public BoundDataset Bind(IReadOnlyList<SampleInput> inputs) => BoundDataset.Bind(_files, inputs);
}
