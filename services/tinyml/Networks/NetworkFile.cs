using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Pictures;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Tinyml.Networks;

/// <summary>A network of this machine, for the commands that need no server. What the engine rejects is the user's to mend.</summary>
internal sealed record NetworkFile(byte[] Bytes, Model Model)
{
    private const long LargestBytes = 2L << 30;

    public static NetworkFile Read(string path)
    {
        if (!File.Exists(path))
            throw new CommandException(ExitCodes.WrongInput, "file-not-found", $"There is no model '{path}'. Expected an ONNX file.");
        if (new FileInfo(path).Length >= LargestBytes)
            throw new CommandException(ExitCodes.WrongInput, "model-too-large", $"'{path}' is 2 GiB or more, which no ONNX file can be.");
        var bytes = File.ReadAllBytes(path);
        return new NetworkFile(bytes, Ask($"'{path}' cannot be used: ", () => OnnxFile.Read(bytes)));
    }

    public static Dataset OpenDataset(string path) => File.Exists(path) || Directory.Exists(path)
        ? Ask("", () => Dataset.Open(path, pictures: new PictureDecoder()))
        : throw new CommandException(ExitCodes.WrongInput, "file-not-found", $"There is no dataset '{path}'. Expected a folder, an .npz or a .yaml.");

    /// <summary>Asks the engine for something; a refusal ends the command with what it says behind <paramref name="about"/>.</summary>
    public static T Ask<T>(string about, Func<T> work)
    {
        try
        {
            return work();
        }
        catch (TransformRejectedException e)
        {
            throw new CommandException(ExitCodes.WrongInput, e.Code, about + e.Message, inner: e);
        }
    }
}
