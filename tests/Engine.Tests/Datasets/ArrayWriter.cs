using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Text;

namespace TinyMLaaS.Engine.Tests.Datasets;

/// <summary>Writes NumPy files as NumPy's format description says, byte by byte.</summary>
internal static class ArrayWriter
{
    public static byte[] Npy<T>(string descr, int[] shape, params T[] values) where T : unmanaged =>
        Npy($"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({string.Concat(shape.Select(d => $"{d}, "))}), }}", MemoryMarshal.AsBytes(values.AsSpan()).ToArray());

    public static byte[] Npy(string header, byte[] content, byte version = 1)
    {
        var text = Encoding.Latin1.GetBytes(header.PadRight(118 - 1) + "\n");
        byte[] length = version == 1 ? BitConverter.GetBytes((ushort)text.Length) : BitConverter.GetBytes((uint)text.Length);
        return [0x93, .. "NUMPY"u8, version, 0, .. length, .. text, .. content];
    }

    public static byte[] Npz(params (string Name, byte[] Npy)[] arrays)
    {
        using var memory = new MemoryStream();
        using (var zip = new ZipArchive(memory, ZipArchiveMode.Create))
        {
            foreach (var (name, npy) in arrays)
            {
                using var entry = zip.CreateEntry(name + ".npy").Open();
                entry.Write(npy);
            }
        }
        return memory.ToArray();
    }

    public static byte[] Gzip(byte[] content)
    {
        using var memory = new MemoryStream();
        using (var gzip = new GZipStream(memory, CompressionMode.Compress))
            gzip.Write(content);
        return memory.ToArray();
    }
}
