using System.Formats.Tar;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>A dataset as one file: a tar of its yaml and the files that it uses, the same bytes for the same content whatever the paths and times.</summary>
public static class DatasetPacker
{
    /// <summary>Most entries that an archive may have.</summary>
    public const int MaximumEntries = 1000;

    // What the header of the tar format (POSIX.1-1988 ustar) holds; its extensions carry the id of the process that wrote them.
    private const int LongestName = 100;
    private const long LargestFile = 0x1_FFFF_FFFF;

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, NewLine = "\n" };

    /// <summary>Writes the archive. Files are taken as they are; the yaml is rewritten so that all of them lie beside it.</summary>
    /// <param name="path">What <see cref="Dataset.Open"/> takes; links and <c>..</c> are followed.</param>
    /// <param name="archive">Where to write; left open.</param>
    /// <exception cref="Transformers.TransformRejectedException"><c>invalid-dataset</c>: it cannot be opened, or a file cannot be in a tar.</exception>
    /// <param name="pictures">Reads folders of pictures, which are packed as arrays of what was decoded; without it, a dataset with such a folder is refused.</param>
    public static void Pack(string path, Stream archive, IPictureDecoder? pictures = null)
    {
        var files = DatasetFiles.Open(path, follow: true, pictures);
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        ArrayFile[] arrays = [.. files.Inputs.Select(i => i.Array).OfType<ArrayFile>(), .. files.Labels is null ? [] : new[] { files.Labels }];
        foreach (var array in arrays)
            names.TryAdd(array.Path, NameFor(array.Path, names.Values, keep: !files.IsExplicit));
        using var writer = new TarWriter(archive, TarEntryFormat.Ustar, leaveOpen: true);
        if (Describe(files, names) is { Count: > 0 } yaml)
        {
            using var text = new MemoryStream(Encoding.UTF8.GetBytes(yaml.ToJsonString(Indented) + "\n"));
            Write(writer, DatasetFiles.YamlName, text);
        }
        foreach (var (file, name) in names)
        {
            if (arrays.First(a => a.Path == file) is { Made: not null } made)
            {
                using var array = Store(made, Math.Min(made.Count, files.Definition.Skip + (long)(files.Definition.Limit ?? int.MaxValue)));
                Write(writer, name, array);
                continue;
            }
            using var content = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
            if (content.Length > LargestFile)
                throw DatasetErrors.Invalid($"'{Path.GetFileName(file)}' is larger than 8 GiB, the most that a stored dataset's file may have; register it as an on-site dataset.");
            Write(writer, name, content);
        }
    }

    /// <summary>Unpacks an archive of <see cref="Pack"/> or of anybody else: plain files directly in the folder, nothing else.</summary>
    /// <param name="archive">The archive, not trusted.</param>
    /// <param name="folder">An empty folder.</param>
    /// <param name="maximumBytes">Most bytes of all files together.</param>
    /// <exception cref="Transformers.TransformRejectedException"><c>invalid-dataset</c>: it is no tar, or holds a link, a folder, a name that could lead outside, or too much.</exception>
    public static void Unpack(Stream archive, string folder, long maximumBytes = 64L << 30)
    {
        try
        {
            using var reader = new TarReader(archive, leaveOpen: true);
            long total = 0;
            var entries = 0;
            while (reader.GetNextEntry() is { } entry)
            {
                if (++entries > MaximumEntries)
                    throw DatasetErrors.Invalid($"The archive of the dataset has more than {MaximumEntries} entries.");
                if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile))
                    throw DatasetErrors.Invalid($"The archive of the dataset holds '{Shown(entry.Name)}', a {entry.EntryType}; only plain files are taken.");
                if (!IsPlainName(entry.Name))
                    throw DatasetErrors.Invalid($"The archive of the dataset holds a file named '{Shown(entry.Name)}'; names must be plain, without folders.");
                total += entry.Length;
                if (total > maximumBytes)
                    throw DatasetErrors.Invalid($"The archive of the dataset holds more than {maximumBytes} bytes.");
                using var file = new FileStream(Path.Combine(folder, entry.Name), FileMode.CreateNew, FileAccess.Write);
                entry.DataStream?.CopyTo(file);
                if (file.Length != entry.Length)
                    throw DatasetErrors.Invalid($"The archive of the dataset is cut off in '{entry.Name}'.");
            }
            if (entries == 0)
                throw DatasetErrors.Invalid("The archive of the dataset is empty.");
        }
        catch (Exception e) when (e is InvalidDataException or FormatException or EndOfStreamException or ArgumentException or NotSupportedException or OverflowException)
        {
            throw DatasetErrors.Invalid("The archive of the dataset is no sound tar file.", e);
        }
        catch (IOException e) when (e is not FileNotFoundException && e.HResult is 17 or unchecked((int)0x80070050))
        {
            throw DatasetErrors.Invalid("The archive of the dataset holds two files of one name.", e);
        }
    }

    /// <summary>An array file of samples that are made as they are read, deleted when it is closed.</summary>
    private static FileStream Store(ArrayFile array, long count)
    {
        var shape = $"({count},{string.Concat(array.SampleShape.ToArray().Select(e => $" {e},"))})";
        var header = $"{{'descr': '{(array.Type == Graphs.ElementType.UInt8 ? "|u1" : "<i4")}', 'fortran_order': False, 'shape': {shape}, }}";
        var length = ((10 + header.Length + 1 + 63) / 64 * 64) - 10;
        // Made by the system with access for its owner alone.
        var file = new FileStream(Path.GetTempFileName(), FileMode.Open, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
        try
        {
            file.Write([0x93, .. "NUMPY"u8, 1, 0, (byte)length, (byte)(length >> 8)]);
            file.Write(Encoding.ASCII.GetBytes(header.PadRight(length - 1) + "\n"));
            foreach (var sample in array.Read(0, count))
            {
                file.Write(sample.Span);
                if (file.Length > LargestFile)
                    throw DatasetErrors.Invalid($"{array.Label} take more than 8 GiB once decoded, the most that a stored dataset's file may have; set a limit.");
            }
            file.Position = 0;
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static JsonObject Describe(DatasetFiles files, Dictionary<string, string> names)
    {
        var yaml = new JsonObject();
        if (files.IsExplicit)
        {
            var inputs = new JsonObject();
            foreach (var (input, array) in files.Inputs)
            {
                if (array is null)
                {
                    inputs.Add(input.Name, input.FromOutput is { } output ? new JsonObject { ["value"] = input.Value, ["from-output"] = output } : new JsonObject { ["value"] = input.Value });
                    continue;
                }
                var entry = Reference(array, names);
                if (input.Layout != SampleLayout.AsIs)
                {
                    entry["layout"] = input.Layout switch
                    {
                        SampleLayout.Nhwc => "NHWC",
                        SampleLayout.Nchw => "NCHW",
                        SampleLayout.NhwcToNchw => "NHWC->NCHW",
                        _ => "NCHW->NHWC",
                    };
                }
                if (input.Scale is { } scale)
                    entry["scale"] = scale;
                if (input.Offset is { } offset)
                    entry["offset"] = offset;
                if (input.Mean is { } mean)
                    entry["mean"] = new JsonArray([.. mean.Select(m => (JsonNode)m)]);
                if (input.Std is { } std)
                    entry["std"] = new JsonArray([.. std.Select(s => (JsonNode)s)]);
                inputs.Add(input.Name, entry);
            }
            yaml["inputs"] = inputs;
        }
        if (files.Labels is { } labels && (files.IsExplicit || files.Definition.Labels is not null))
            yaml["labels"] = Reference(labels, names);
        if (files.Classes is { } classes)
            yaml["classes"] = new JsonArray([.. classes.Select(c => (JsonNode)c)]);
        if (files.Definition.Window is { } window)
        {
            yaml["window"] = new JsonObject
            {
                ["length"] = window.Length,
                ["step"] = window.Step,
                ["flatten"] = window.Flatten,
                ["reduce"] = window.Reduce == WindowReduce.Max ? "max" : "mean",
            };
            if (window.PadBefore > 0)
                yaml["window"]!["pad-before"] = window.PadBefore;
        }
        if (files.Definition.Skip is var skip and > 0)
            yaml["skip"] = skip;
        if (files.Definition.Limit is { } limit)
            yaml["limit"] = limit;
        return yaml;
    }

    private static JsonObject Reference(ArrayFile array, Dictionary<string, string> names)
    {
        var reference = new JsonObject { ["file"] = names[array.Path] };
        if (array.Member is { } member)
            reference["array"] = member;
        return reference;
    }

    private static string NameFor(string path, IEnumerable<string> taken, bool keep)
    {
        var name = Path.GetFileName(path);
        if (keep)
        {
            // The names of these files say which input they are for.
            return IsPlainName(name) && name.Length <= LongestName && name.All(char.IsAscii)
                ? name
                : throw DatasetErrors.Invalid($"The file name '{Shown(name)}' cannot be packed: it must be at most {LongestName} ASCII characters. Name the file in a {DatasetFiles.YamlName}.");
        }
        var clean = new string([.. name.TakeLast(LongestName - 8).Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' ? c : '_')]).TrimStart('.');
        var candidate = clean;
        for (var i = 2; taken.Contains(candidate) || candidate == DatasetFiles.YamlName; i++)
            candidate = $"{i}-{clean}";
        return candidate;
    }

    private static bool IsPlainName(string name) =>
        name.Length is > 0 and <= 255 && name is not ("." or "..") && !name.Any(c => c is '/' or '\\' || char.IsControl(c) || char.IsSurrogate(c));

    private static string Shown(string name) => new([.. name.Take(80).Select(c => char.IsControl(c) ? '?' : c)]);

    private static void Write(TarWriter writer, string name, Stream content) => writer.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name)
    {
        Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead,
        ModificationTime = DateTimeOffset.UnixEpoch,
        DataStream = content,
    });
}
