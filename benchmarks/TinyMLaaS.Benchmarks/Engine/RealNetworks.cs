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
    // Networks whose outputs need work of their own before they can be held against labels: only their distance is measured.
    private static readonly string[] WithoutMetric = ["person_presence_fastestdet"];

    // A network that carries its state from feed to feed, with clips that it is both calibrated and measured on.
    private const string Stateful = "silero_vad_16k_op15";
    private const string Clips = "vad_silero_alsa";

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
            Metric? metric = WithoutMetric.Contains(name) ? null : name.StartsWith("ad_", StringComparison.Ordinal) ? Metric.AucMse : Metric.Top1;
            yield return new RealNetwork(name, path, metric, () => (Described(root, folder, scratch, $"{name}.calibrate"), Described(root, folder, scratch, $"{name}.test")));
        }
        foreach (var path in Directory.EnumerateFiles(Path.Combine(folder, "unlabelled"), "*.onnx").Order(StringComparer.Ordinal))
        {
            var name = Path.GetFileNameWithoutExtension(path);
            yield return new RealNetwork(name, path, null, () => name == Stateful ? (Described(root, folder, scratch, Clips), Described(root, folder, scratch, Clips)) : Golden(name, path, scratch));
        }
    }

    private static (Dataset, Dataset) Golden(string name, string path, string scratch)
    {
        var golden = Path.ChangeExtension(path, ".golden.npz");
        var inputs = OnnxFile.Read(path).Graph.RequiredInputs.Select((i, place) => $"  \"{i.Name}\": {{ file: \"{golden}\", array: in_{place} }}\n");
        var data = Dataset.Open(Write(scratch, $"{name}.yaml", "inputs:\n" + string.Concat(inputs)));
        return (data, data);
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

    private static Dataset Described(string root, string folder, string scratch, string task) =>
        Dataset.Open(Write(scratch, $"{task}.yaml", File.ReadAllText(Path.Combine(root, "tests/Engine.Tests/tasks", $"{task}.yaml")).Replace("{models}", folder, StringComparison.Ordinal)));

    private static string Write(string folder, string name, string text)
    {
        var path = Path.Combine(folder, name);
        File.WriteAllText(path, text);
        return path;
    }
}
