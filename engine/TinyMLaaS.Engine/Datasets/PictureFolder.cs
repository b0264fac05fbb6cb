using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>
/// Pictures in a folder, one decoded at a time. Either they lie in it, or in one folder for each class: classes count in ordinal order of their names, and pictures come
/// one of each class in turn, in ordinal order of their names, so that a limit takes from all classes.
/// </summary>
internal sealed class PictureFolder
{
    /// <summary>Most pixels of a picture, 268 MB while it is decoded.</summary>
    public const long MaximumPixels = 1L << 26;

    private const long MaximumFileBytes = 256L << 20;
    private const int MaximumPictures = 10_000_000;

    private static readonly string[] Extensions = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"];

    private readonly PictureDefinition _definition;
    private readonly IPictureDecoder _decoder;
    private readonly string _root;
    private readonly List<(string File, int Class)> _pictures;

    private PictureFolder(string root, PictureDefinition definition, IPictureDecoder decoder, List<(string File, int Class)> pictures, IReadOnlyList<string>? classes)
    {
        (_root, _definition, _decoder, _pictures, Classes) = (root, definition, decoder, pictures, classes);
    }

    /// <summary>Names of the classes in the order of their labels; null when pictures lie in no folders of classes.</summary>
    public IReadOnlyList<string>? Classes { get; }

    /// <summary>One number for each picture; null without classes.</summary>
    public ArrayFile? Labels => Classes is null ? null : new ArrayFile
    {
        Path = Path.Combine(_root, "labels.npy"),
        Type = ElementType.Int32,
        BigEndian = false,
        Shape = [_pictures.Count],
        Made = (skip, count) => _pictures.Skip((int)skip).Take((int)count).Select(p => (ReadOnlyMemory<byte>)BitConverter.GetBytes(p.Class)),
    };

    /// <summary>The pictures as samples of height, width and channels.</summary>
    public ArrayFile Samples => new()
    {
        Path = Path.Combine(_root, $"pictures-{_definition.Width}x{_definition.Height}-{_definition.Channels}{(_definition.Crops ? "-crop" : "")}.npy"),
        Type = ElementType.UInt8,
        BigEndian = false,
        Shape = [_pictures.Count, _definition.Height, _definition.Width, _definition.Channels == PictureChannels.Grey ? 1 : 3],
        Made = (skip, count) => _pictures.Skip((int)skip).Take((int)count).Select(p => (ReadOnlyMemory<byte>)Read(p.File)),
    };

    /// <summary>Lists a folder's pictures; none is opened.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="definition">What becomes of each picture.</param>
    /// <param name="decoder">Reads them.</param>
    /// <param name="check">Called with every file and folder that is used, to refuse it.</param>
    public static PictureFolder Open(string folder, PictureDefinition definition, IPictureDecoder decoder, Action<string> check)
    {
        var label = $"The folder of pictures '{definition.Folder}'";
        string[] names = [.. Directory.EnumerateDirectories(folder).Select(f => Path.GetFileName(f)!).Where(n => n[0] != '.').Order(StringComparer.Ordinal)];
        var direct = Pictures(folder);
        if (direct.Length > 0 && names.Length > 0)
            throw DatasetErrors.Invalid($"{label} holds pictures and folders, '{Path.GetFileName(direct[0])}' and '{names[0]}'; expected pictures alone, or one folder of pictures for each class.");
        string[][] files = names.Length == 0 ? [direct] : [.. names.Select(n => Pictures(Path.Combine(folder, n)))];
        if (Array.FindIndex(files, f => f.Length == 0) is var empty and >= 0)
            throw DatasetErrors.Invalid($"{label} holds no picture{(names.Length == 0 ? "" : $" in '{names[empty]}'")}; expected {string.Join(", ", Extensions)}.");
        if (files.Sum(f => (long)f.Length) > MaximumPictures)
            throw DatasetErrors.Invalid($"{label} holds more than {MaximumPictures} pictures.");
        var pictures = new List<(string, int)>();
        for (var i = 0; i < files.Max(f => f.Length); i++)
        {
            for (var c = 0; c < files.Length; c++)
            {
                if (i >= files[c].Length)
                    continue;
                check(files[c][i]);
                pictures.Add((files[c][i], c));
            }
        }
        return new PictureFolder(folder, definition, decoder, pictures, names.Length == 0 ? null : names);
    }

    private static string[] Pictures(string folder) =>
        [.. Directory.EnumerateFiles(folder).Where(f => Path.GetFileName(f)[0] != '.' && Extensions.Contains(Path.GetExtension(f), StringComparer.OrdinalIgnoreCase)).Order(StringComparer.Ordinal)];

    private byte[] Read(string file)
    {
        var name = Path.GetRelativePath(_root, file);
        try
        {
            if (new FileInfo(file).Length > MaximumFileBytes)
                throw new InvalidDataException($"it is larger than {MaximumFileBytes >> 20} MiB");
            return PictureScaling.Apply(_decoder.Decode(File.ReadAllBytes(file), MaximumPixels), _definition);
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            throw DatasetErrors.Invalid($"Cannot read the picture '{name}': {e.Message}.", e);
        }
    }
}
