using System.Text;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;

namespace TinyMLaaS.Benchmarks.Engine;

/// <summary>A real network with data to calibrate on and data to measure on.</summary>
/// <param name="Name">The name of its folder or file.</param>
/// <param name="Path">The file.</param>
/// <param name="Metric">What is measured beside the distance of the outputs; null without labels.</param>
/// <param name="Open">Opens the samples that quantizing sees and those that the result is measured on.</param>
internal sealed record RealNetwork(string Name, string Path, Metric? Metric, Func<(Dataset Calibration, Dataset Test)> Open);

/// <summary>Third-party networks that lie beside the repository, or where TINYML_SHARED_MODELS says. Their terms keep them out of it.</summary>
internal static class RealNetworks
{
    // Pictures that a network without a calibration set is calibrated on; the others it is measured on.
    private const int CalibrationPictures = 10;

    public static string Folder(string root) =>
        Environment.GetEnvironmentVariable("TINYML_SHARED_MODELS") is { Length: > 0 } folder ? folder : Path.GetFullPath(Path.Combine(root, "..", "shared", "models"));

    /// <summary>Every network that is there. Those with labels are described by the yaml files of the tests; the others come with one golden input, on which they are both calibrated and measured.</summary>
    /// <param name="root">The repository.</param>
    /// <param name="scratch">A folder for descriptions of data.</param>
    public static IEnumerable<RealNetwork> All(string root, string scratch)
    {
        var folder = Folder(root);
        if (!Directory.Exists(folder))
            yield break;
        foreach (var path in Directory.EnumerateFiles(Path.Combine(folder, "labelled"), "model.onnx", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            var name = Path.GetFileName(Path.GetDirectoryName(path))!;
            if (File.Exists(Task(root, name, "calibrate")))
                {
                var metric = name.StartsWith("ad_", StringComparison.Ordinal) ? Metric.AucMse : Metric.Top1;
                yield return new RealNetwork(name, path, metric, () => (Described(root, folder, scratch, name, "calibrate"), Described(root, folder, scratch, name, "test")));
            }
            else if (File.Exists(Path.Combine(Path.GetDirectoryName(path)!, "x_test_u8.npz")))
            {
                yield return new RealNetwork(name, path, null, () => Pictures(name, path, scratch));
            }
        }
        foreach (var path in Directory.EnumerateFiles(Path.Combine(folder, "unlabelled"), "*.onnx").Order(StringComparer.Ordinal))
        {
            var name = Path.GetFileNameWithoutExtension(path);
            yield return new RealNetwork(name, path, null, () => Golden(name, path, scratch));
        }
    }

    private static (Dataset, Dataset) Golden(string name, string path, string scratch)
    {
        var golden = Path.ChangeExtension(path, ".golden.npz");
        var inputs = OnnxFile.Read(path).Graph.RequiredInputs.Select((i, place) => $"  \"{i.Name}\": {{ file: \"{golden}\", array: in_{place} }}\n");
        var data = Dataset.Open(Write(scratch, $"{name}.yaml", "inputs:\n" + string.Concat(inputs)));
        return (data, data);
    }

    private static (Dataset, Dataset) Pictures(string name, string path, string scratch)
    {
        var graph = OnnxFile.Read(path).Graph;
        var all = Dataset.Open(Write(scratch, $"{name}.yaml", $"inputs:\n  \"{graph.RequiredInputs.Single().Name}\": {{ file: \"{Path.Combine(Path.GetDirectoryName(path)!, "x_test_u8.npz")}\", scale: 0.00392156862745098 }}\n"));
        var feeds = all.Bind(SampleInput.Of(graph)).Samples().SelectMany(s => s.Feeds).Select(f => f.Single()).Select(t => (t.Shape, Values: t.As<float>().ToArray())).ToArray();
        Dataset Part(string part, IEnumerable<float[]> pictures) => Dataset.Open(WriteArray(scratch, $"{name}.{part}.npy", [.. feeds[0].Shape.Skip(1)], [.. pictures]));
        return (Part("calibrate", feeds.Take(CalibrationPictures).Select(f => f.Values)), Part("test", feeds.Skip(CalibrationPictures).Select(f => f.Values)));
    }

    /// <summary>Writes samples as a NumPy array of float32.</summary>
    public static string WriteArray(string folder, string name, long[] shape, IReadOnlyList<float[]> samples)
    {
        var header = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({samples.Count}, {string.Concat(shape.Select(d => $"{d}, "))}), }}".PadRight(117) + "\n";
        var path = Path.Combine(folder, name);
        using var file = File.Create(path);
        file.Write([0x93, .. "NUMPY"u8, 1, 0, .. BitConverter.GetBytes((ushort)header.Length), .. Encoding.ASCII.GetBytes(header)]);
        foreach (var sample in samples)
            file.Write(System.Runtime.InteropServices.MemoryMarshal.AsBytes(sample.AsSpan()));
        return path;
    }

    private static string Task(string root, string name, string part) => Path.Combine(root, "tests/Engine.Tests/tasks", $"{name}.{part}.yaml");

    private static Dataset Described(string root, string folder, string scratch, string name, string part) =>
        Dataset.Open(Write(scratch, $"{name}.{part}.yaml", File.ReadAllText(Task(root, name, part)).Replace("{models}", folder, StringComparison.Ordinal)));

    private static string Write(string folder, string name, string text)
    {
        var path = Path.Combine(folder, name);
        File.WriteAllText(path, text);
        return path;
    }
}
