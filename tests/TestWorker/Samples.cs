using System.Text;
using System.Text.Json;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.TestWorker;

/// <summary>Samples for whatever a network asks for.</summary>
internal static class Samples
{
    private const long MostElements = 1 << 18;

    /// <summary>Two samples of ones, with 1 for every extent that is free; null where an input is no float tensor of a moderate size.</summary>
    public static Dataset? Write(Graph graph, string folder)
    {
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        Directory.CreateDirectory(folder);
        var yaml = new StringBuilder("inputs:\n");
        foreach (var (input, index) in graph.RequiredInputs.Select((input, index) => (input, index)))
        {
            if (input.Type != ElementType.Float || input.Shape is not { } shape)
                return null;
            var extents = shape.Select(d => d.Value ?? 1).ToArray();
            if (extents.Any(e => e < 0) || extents.Aggregate(1.0, (a, b) => a * b) > MostElements)
                return null;
            var name = $"i{index}.npy";
            using var file = File.Create(Path.Combine(folder, name));
            // The npy format, version 1.0: magic, header length, a Python literal, the content.
            var header = Encoding.ASCII.GetBytes($"{{'descr': '<f4', 'fortran_order': False, 'shape': (2, {string.Join(", ", extents)}{(extents.Length == 0 ? "" : ", ")}), }}\n");
            file.Write([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', 1, 0, (byte)header.Length, (byte)(header.Length >> 8)]);
            file.Write(header);
            for (var i = 0L; i < 2 * extents.Aggregate(1L, (a, b) => a * b); i++)
                file.Write(BitConverter.GetBytes(1f));
            yaml.Append($"  {JsonSerializer.Serialize(input.Name)}: {{ file: {name} }}\n");
        }
        File.WriteAllText(Path.Combine(folder, "dataset.yaml"), yaml.ToString());
        return Dataset.Open(folder, followLinksAndParents: false);
    }
}
