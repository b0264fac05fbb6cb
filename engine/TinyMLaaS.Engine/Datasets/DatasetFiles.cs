namespace TinyMLaaS.Engine.Datasets;

/// <summary>A dataset's files, found and with their headers read.</summary>
internal sealed class DatasetFiles
{
    public const string LabelsName = "labels";
    public const string YamlName = "dataset.yaml";

    private readonly bool _follow;
    private readonly string _root;
    private readonly IPictureDecoder? _decoder;

    private DatasetFiles(string path, string root, bool follow, IPictureDecoder? decoder)
    {
        Path = path;
        _root = root;
        _follow = follow;
        _decoder = decoder;
    }

    public string Path { get; }

    public DatasetDefinition Definition { get; private set; } = new();

    /// <summary>Inputs with how to feed them, in the yaml's order or by name; an array for each that a file feeds.</summary>
    public IReadOnlyList<(InputDefinition Input, ArrayFile? Array)> Inputs { get; private set; } = [];

    /// <summary>True when the yaml names the inputs, so that each must belong to the network; false when they are whatever lies there.</summary>
    public bool IsExplicit => Definition.Inputs is not null;

    public ArrayFile? Labels { get; private set; }

    /// <summary>Names of the classes in the order of their labels; null when nothing tells them.</summary>
    public IReadOnlyList<string>? Classes { get; private set; }

    public static DatasetFiles Open(string path, bool follow, IPictureDecoder? decoder)
    {
        var full = System.IO.Path.GetFullPath(path);
        var isFolder = Directory.Exists(full);
        if (!isFolder && !File.Exists(full))
            throw DatasetErrors.Invalid($"Cannot open the dataset '{path}': there is no such file or folder.");
        var files = new DatasetFiles(path, isFolder ? full : System.IO.Path.GetDirectoryName(full)!, follow, decoder);
        var yaml = isFolder ? System.IO.Path.Combine(full, YamlName) : IsYaml(full) ? full : System.IO.Path.ChangeExtension(full, ".yaml");
        var data = isFolder || IsYaml(full) ? null : full;
        if (File.Exists(yaml))
        {
            files.CheckInside(yaml);
            files.Definition = DatasetDefinition.Read(yaml);
            var sibling = System.IO.Path.ChangeExtension(yaml, ".npz");
            data ??= File.Exists(sibling) ? sibling : null;
        }
        files.Find(data);
        return files;
    }

    /// <summary>True for a path that is read as a dataset's description.</summary>
    public static bool IsYaml(string path) => path.EndsWith(".yaml", StringComparison.OrdinalIgnoreCase) || path.EndsWith(".yml", StringComparison.OrdinalIgnoreCase);

    private void Find(string? data)
    {
        var beside = new Lazy<IReadOnlyList<(string Name, string File, string? Member)>>(() => Beside(data));
        var inputs = Definition.Inputs ?? [.. beside.Value.Where(b => b.Name != LabelsName).Select(b => new InputDefinition { Name = b.Name, Data = new ArrayReference(null, b.Name) })];
        if (inputs.Count == 0)
            throw DatasetErrors.Invalid($"The dataset '{Path}' holds no array: expected a {YamlName}, one .npz, or .npy or idx files. A folder of pictures needs a {YamlName} that says their size: 'inputs: {{ INPUT: {{ pictures: ., width: W, height: H }} }}'.");
        var folders = inputs.Select(i => i.Pictures is { } pictures ? OpenPictures(pictures) : null).ToArray();
        Inputs = [.. inputs.Select((i, k) => (i, folders[k] is { } folder ? folder.Samples : i.Data is { } data ? Locate(data, i.Name, beside) : null))];
        Classes = Definition.Classes ?? folders.FirstOrDefault(f => f?.Classes is not null)?.Classes;
        if (Definition.Labels is { } labels)
            Labels = Locate(labels, LabelsName, beside);
        else if (folders.FirstOrDefault(f => f?.Labels is not null) is { } classified)
            Labels = classified.Labels;
        else if ((Definition.Inputs?.All(i => i.Data is null or { File: not null }) != true || data is not null) && beside.Value.FirstOrDefault(b => b.Name == LabelsName) is { File: not null } found)
            Labels = ArrayFile.Open(found.File, found.Member);
        if (Labels is { Shape.Length: not 1 })
            throw DatasetErrors.Invalid($"The labels, {Labels.Label}, have the shape [{string.Join(',', Labels.Shape)}]; expected one number for each sample.");
        if (Labels is { Type: Graphs.ElementType.Float or Graphs.ElementType.Double or Graphs.ElementType.Float16 })
            throw DatasetErrors.Invalid($"The labels, {Labels.Label}, are {Labels.Type}; expected whole numbers, the index of each sample's class.");
    }

    private PictureFolder OpenPictures(PictureDefinition definition)
    {
        if (_decoder is null)
            throw DatasetErrors.Invalid($"The dataset '{Path}' holds pictures, which are decoded where a dataset is packed and not here. Register the folder with the command line, which packs it.");
        var folder = System.IO.Path.GetFullPath(System.IO.Path.Combine(_root, definition.Folder));
        if (!_follow && (System.IO.Path.IsPathRooted(definition.Folder) || definition.Folder.Split('/', '\\').Contains("..")))
            throw DatasetErrors.Invalid($"The folder '{definition.Folder}' lies outside the dataset's folder, which an uploaded dataset may not use. Put it inside and name it by a relative path.");
        if (!Directory.Exists(folder))
            throw DatasetErrors.Invalid($"The dataset '{Path}' names the folder of pictures '{definition.Folder}', which does not exist; paths are relative to its yaml.");
        return PictureFolder.Open(folder, definition, _decoder, CheckInside);
    }

    private ArrayFile Locate(ArrayReference reference, string name, Lazy<IReadOnlyList<(string Name, string File, string? Member)>> beside)
    {
        if (reference.File is { } file)
            return ArrayFile.Open(Resolve(file), reference.Array);
        var wanted = reference.Array ?? name;
        var found = beside.Value.FirstOrDefault(b => b.Name == wanted);
        if (found.File is null && reference.Array is null && name != LabelsName && beside.Value.Count(b => b.Name != LabelsName) == 1)
            found = beside.Value.Single(b => b.Name != LabelsName);
        return found.File is null
            ? throw DatasetErrors.Invalid($"The dataset '{Path}' has no array '{wanted}'; it holds {(beside.Value.Count == 0 ? "none" : string.Join(", ", beside.Value.Take(20).Select(b => $"'{b.Name}'")))}. Name a file with 'file:'.")
            : ArrayFile.Open(found.File, found.Member);
    }

    /// <summary>The arrays that lie beside the yaml or are the dataset themselves.</summary>
    private IReadOnlyList<(string Name, string File, string? Member)> Beside(string? data)
    {
        string[] files;
        if (data is not null)
        {
            CheckInside(data);
            files = [data];
        }
        else
        {
            files = [.. Directory.EnumerateFiles(_root).Where(f => ArrayFile.IsNpz(f) || ArrayFile.IsNpy(f) || ArrayFile.AsIdx(f) is not null).Order(StringComparer.Ordinal)];
            foreach (var file in files)
                CheckInside(file);
            if (files.Where(ArrayFile.IsNpz).ToArray() is { Length: > 0 } npz)
            {
                files = npz.Length == 1 && files.Length == 1 ? npz : throw DatasetErrors.Invalid(
                    $"Cannot tell what the dataset '{Path}' is: it holds {string.Join(", ", files.Take(20).Select(f => $"'{System.IO.Path.GetFileName(f)}'"))}. Expected one .npz alone, or a {YamlName} that names the files.");
            }
        }
        if (files is [var only] && ArrayFile.IsNpz(only))
            return [.. ArrayFile.Members(only).Select(m => (m, only, (string?)m))];
        return [.. files.Select(f => (NameOf(f), f, (string?)null))];
    }

    private static string NameOf(string file) =>
        ArrayFile.AsIdx(file) is { } idx ? (idx.Rank == 1 && idx.Name.EndsWith(LabelsName, StringComparison.Ordinal) ? LabelsName : idx.Name)
        : System.IO.Path.GetFileNameWithoutExtension(file);

    private string Resolve(string file)
    {
        if (file.Length == 0 || file.Contains('\0'))
            throw DatasetErrors.Invalid("'file:' is empty or holds a zero character; give the path of a file.");
        var path = System.IO.Path.GetFullPath(System.IO.Path.Combine(_root, file));
        if (!_follow && (System.IO.Path.IsPathRooted(file) || file.Split('/', '\\').Contains("..")))
            throw DatasetErrors.Invalid($"The file '{file}' lies outside the dataset's folder, which an uploaded dataset may not use. Put it inside and name it by a relative path.");
        if (!File.Exists(path))
            throw DatasetErrors.Invalid($"The dataset '{Path}' names the file '{file}', which does not exist; paths are relative to its yaml.");
        CheckInside(path);
        return path;
    }

    private void CheckInside(string path)
    {
        if (_follow)
            return;
        for (var at = path; at.Length > _root.Length; at = System.IO.Path.GetDirectoryName(at)!)
        {
            if (new FileInfo(at).LinkTarget is not null)
                throw DatasetErrors.Invalid($"'{System.IO.Path.GetRelativePath(_root, at)}' is a symbolic link, which an uploaded dataset may not hold. Put the file itself there.");
        }
    }
}
