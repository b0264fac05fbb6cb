using System.Formats.Tar;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.Datasets;

public sealed class DatasetPackerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static byte[] Pack(string path)
    {
        using var archive = new MemoryStream();
        DatasetPacker.Pack(path, archive);
        return archive.ToArray();
    }

    private static byte[] Tar(params TarEntry[] entries)
    {
        using var memory = new MemoryStream();
        using (var writer = new TarWriter(memory, TarEntryFormat.Pax, leaveOpen: true))
        {
            foreach (var entry in entries)
                writer.WriteEntry(entry);
        }
        return memory.ToArray();
    }

    private static PaxTarEntry Plain(string name, int bytes = 1) => new(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(new byte[bytes]) };

    private string Rejection(byte[] archive, long maximumBytes = 1 << 20)
    {
        var refusal = Assert.Throws<TransformRejectedException>(() => DatasetPacker.Unpack(new MemoryStream(archive), _folder.Folder(Guid.NewGuid().ToString()), maximumBytes));
        Assert.Equal("invalid-dataset", refusal.Code);
        return refusal.Message;
    }

    private void WriteYamlDataset(string root)
    {
        _folder.Write($"{root}/a/x.npy", ArrayWriter.Npy<byte>("|u1", [3, 1, 1, 2], 9, 9, 1, 2, 3, 4));
        _folder.Write($"{root}/b/x.npy", ArrayWriter.Npy<long>("<i8", [3], 9, 5, 6));
        _folder.Write($"{root}/set/dataset.yaml", "inputs:\n  input: { file: ../a/x.npy, layout: NHWC->NCHW, scale: 0.1, mean: [1, 2], std: [3, 4] }\n  rate: { value: 16000 }\n  state: { value: 0.25, from-output: next }\nlabels: ../b/x.npy\nskip: 1\nlimit: 2\n");
    }

    [Fact]
    public void Packs_and_unpacks_into_the_same_samples()
    {
        WriteYamlDataset("one");
        _folder.Write("npz/data.npz", ArrayWriter.Npz(("input", ArrayWriter.Npy<float>("<f4", [3, 2], 1, 2, 3, 4, 5, 6)), ("spare", ArrayWriter.Npy<float>("<f4", [1], 1)), ("labels", ArrayWriter.Npy<int>("<i4", [3], 1, 2, 3))));
        _folder.Write("npz/data.yaml", "window: { length: 1, step: 1, pad-before: 1, flatten: true, reduce: max }\nlimit: 2\n");
        foreach (var path in new[] { "one/set", "npz/data.npz" })
        {
            var target = _folder.Folder("unpacked-" + System.IO.Path.GetFileName(path));
            DatasetPacker.Unpack(new MemoryStream(Pack(System.IO.Path.Combine(_folder.Path, path))), target);
            SampleInput[] input = path == "one/set" ? [new("input", ElementType.Float, ["N", 2]), new("rate", ElementType.Float, []), new("state", ElementType.Float, [2])] : [new("input", ElementType.Float, ["N", 1])];
            string[] Content(Dataset d) => [.. d.Bind(input).Samples().Select(s => $"{s.Label} {string.Join(' ', s.Feeds.SelectMany(f => f.SelectMany(t => t.As<float>().ToArray()).Select(v => $"{v}").Concat(f.Carried.Select(c => $"{c}"))))}")];
            var expected = Content(Dataset.Open(System.IO.Path.Combine(_folder.Path, path)));
            Assert.Equal(2, expected.Length);
            var unpacked = Dataset.Open(target, followLinksAndParents: false);
            Assert.Equal(expected, Content(unpacked));
            Assert.Equal(Dataset.Open(System.IO.Path.Combine(_folder.Path, path)).Window, unpacked.Window);
        }
    }

    [Fact]
    public void Gives_the_same_bytes_whatever_the_place_and_the_times()
    {
        WriteYamlDataset("one");
        WriteYamlDataset("two");
        File.SetLastWriteTimeUtc(System.IO.Path.Combine(_folder.Path, "two/a/x.npy"), DateTime.UnixEpoch.AddYears(40));
        Assert.Equal(Pack(System.IO.Path.Combine(_folder.Path, "one/set")), Pack(System.IO.Path.Combine(_folder.Path, "two/set")));
        _folder.Write("two/a/x.npy", ArrayWriter.Npy<byte>("|u1", [2, 1, 1, 2], 1, 2, 3, 5));
        Assert.NotEqual(Pack(System.IO.Path.Combine(_folder.Path, "one/set")), Pack(System.IO.Path.Combine(_folder.Path, "two/set")));
    }

    [Theory]
    [InlineData("../x.npy")]
    [InlineData("/x.npy")]
    [InlineData("a/x.npy")]
    [InlineData("a\\x.npy")]
    [InlineData("..")]
    public void Refuses_names_that_lead_elsewhere(string name) =>
        Assert.Contains("names must be plain", Rejection(Tar(Plain(name))), StringComparison.Ordinal);

    [Fact]
    public void Refuses_links_folders_repeats_and_what_is_too_much_or_no_tar()
    {
        Assert.Contains("only plain files", Rejection(Tar(new PaxTarEntry(TarEntryType.SymbolicLink, "x.npy") { LinkName = "/etc/passwd" })), StringComparison.Ordinal);
        Assert.Contains("only plain files", Rejection(Tar(new PaxTarEntry(TarEntryType.HardLink, "x.npy") { LinkName = "y" })), StringComparison.Ordinal);
        Assert.Contains("only plain files", Rejection(Tar(new PaxTarEntry(TarEntryType.Directory, "d"))), StringComparison.Ordinal);
        Assert.Contains("two files of one name", Rejection(Tar(Plain("x.npy"), Plain("x.npy"))), StringComparison.Ordinal);
        Assert.Contains("more than 9 bytes", Rejection(Tar(Plain("x.npy", 5), Plain("y.npy", 5)), 9), StringComparison.Ordinal);
        Assert.Contains("more than 1000 entries", Rejection(Tar([.. Enumerable.Range(0, 1001).Select(i => Plain($"{i}"))])), StringComparison.Ordinal);
        Assert.Contains("empty", Rejection([]), StringComparison.Ordinal);
        Assert.Contains("no sound tar", Rejection([.. Enumerable.Repeat((byte)'x', 2048)]), StringComparison.Ordinal);
        Assert.Contains("cut off in 'x.npy'", Rejection(Tar(Plain("x.npy", 5000))[..2500]), StringComparison.Ordinal);
    }
}
