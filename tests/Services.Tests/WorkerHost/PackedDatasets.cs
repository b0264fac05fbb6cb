using TinyMLaaS.Engine.Datasets;

namespace TinyMLaaS.Services.Tests.WorkerHost;

/// <summary>Datasets as they are uploaded.</summary>
internal static class PackedDatasets
{
    /// <summary>One sample: an array <c>x</c> of one float, which is 1.</summary>
    /// <param name="scratch">A folder to pack in.</param>
    public static byte[] OneNumber(string scratch)
    {
        var folder = Directory.CreateDirectory(Path.Combine(scratch, "dataset")).FullName;
        using (var file = File.Create(Path.Combine(folder, "x.npy")))
        {
            // The npy format, version 1.0: magic, header length, a Python literal padded to 64 bytes, then one float32.
            var header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }".PadRight(117) + "\n";
            file.Write([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', 1, 0, 118, 0]);
            file.Write(System.Text.Encoding.ASCII.GetBytes(header));
            file.Write(BitConverter.GetBytes(1f));
        }
        using var archive = new MemoryStream();
        DatasetPacker.Pack(folder, archive);
        return archive.ToArray();
    }
}
