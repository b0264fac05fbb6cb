using System.Buffers.Binary;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.RegularExpressions;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>
/// An array in an <c>.npy</c> file (NumPy format 1 to 3), a member of an <c>.npz</c>, or an idx file as MNIST has them (also gzipped).
/// Its first axis counts samples, which are read one after another.
/// </summary>
internal sealed partial record ArrayFile
{
    /// <summary>Largest sample, in bytes as stored.</summary>
    public const long MaximumSampleBytes = 256L << 20;

    // Deflate cannot do better than 1032 to 1; what claims more lies about its size.
    private const long LargestRatio = 1032;

    public required string Path { get; init; }

    /// <summary>Name of the array inside an npz; null for other files.</summary>
    public string? Member { get; init; }

    public required ElementType Type { get; init; }

    public required bool BigEndian { get; init; }

    /// <summary>Samples that are made as they are read, without the first so many and at most so many; null for those of a file, which <see cref="Path"/> names.</summary>
    public Func<long, long, IEnumerable<ReadOnlyMemory<byte>>>? Made { get; init; }

    public required long[] Shape { get; init; }

    /// <summary>Where the elements begin.</summary>
    private int HeaderLength { get; init; }

    public long Count => Shape[0];

    public ReadOnlySpan<long> SampleShape => Shape.AsSpan(1);

    public int SampleBytes => (int)Type.ByteLength(Tensor.CountOf(SampleShape));

    public string Label => Made is not null ? $"the pictures in '{System.IO.Path.GetFileName(System.IO.Path.GetDirectoryName(Path))}'" : Member is null ? $"'{System.IO.Path.GetFileName(Path)}'" : $"array '{Member}' of '{System.IO.Path.GetFileName(Path)}'";

    public static bool IsNpz(string path) => path.EndsWith(".npz", StringComparison.OrdinalIgnoreCase);

    public static bool IsNpy(string path) => path.EndsWith(".npy", StringComparison.OrdinalIgnoreCase);

    /// <summary>For <c>train-images-idx3-ubyte.gz</c>: the name before the suffix and the rank; null when the name is of another form.</summary>
    public static (string Name, int Rank)? AsIdx(string path) =>
        IdxName.Match(System.IO.Path.GetFileName(path)) is { Success: true } match ? (match.Groups[1].Value, match.Groups[2].ValueSpan[0] - '0') : null;

    /// <summary>Names of the arrays in an npz, in ordinal order.</summary>
    public static IReadOnlyList<string> Members(string npz)
    {
        using var zip = OpenZip(npz);
        var names = zip.Entries.Where(e => IsNpy(e.FullName)).Select(e => e.FullName[..^4]).Order(StringComparer.Ordinal).ToArray();
        return names.Distinct(StringComparer.Ordinal).Count() == names.Length
            ? names
            : throw DatasetErrors.Invalid($"Cannot read '{System.IO.Path.GetFileName(npz)}': it holds two arrays of one name.");
    }

    /// <summary>Reads the header and checks that the file can hold what it claims.</summary>
    /// <param name="path">The file.</param>
    /// <param name="member">Which array of an npz; null takes its only one.</param>
    public static ArrayFile Open(string path, string? member)
    {
        if (IsNpz(path))
        {
            var members = Members(path);
            member ??= members.Count == 1 ? members[0] : throw DatasetErrors.Invalid(
                $"Cannot tell which array of '{System.IO.Path.GetFileName(path)}' is meant: it holds {List(members)}. Say 'array: NAME'.");
            if (!members.Contains(member, StringComparer.Ordinal))
                throw DatasetErrors.Invalid($"'{System.IO.Path.GetFileName(path)}' has no array '{member}'; it holds {List(members)}.");
        }
        else if (member is not null)
        {
            throw DatasetErrors.Invalid($"'array: {member}' is given for '{System.IO.Path.GetFileName(path)}', but only an .npz holds named arrays.");
        }
        var label = member is null ? $"'{System.IO.Path.GetFileName(path)}'" : $"array '{member}' of '{System.IO.Path.GetFileName(path)}'";
        return Guard(label, () =>
        {
            using var content = OpenContent(path, member, out var length);
            var array = IsNpy(path) || member is not null ? ReadNpyHeader(content, path, member, label) : ReadIdxHeader(content, path, label);
            if (array.Shape.Length == 0)
                throw DatasetErrors.Invalid($"{label} is a single value; the first axis must count samples.");
            long bytes;
            try
            {
                bytes = array.Type.ByteLength(Tensor.CountOf(array.Shape));
                if (array.Type.ByteLength(Tensor.CountOf(array.SampleShape)) > MaximumSampleBytes)
                    throw DatasetErrors.Invalid($"One sample of {label} takes more than {MaximumSampleBytes >> 20} MiB, the most that is read.");
            }
            catch (OverflowException e)
            {
                throw DatasetErrors.Invalid($"{label} claims the shape [{string.Join(',', array.Shape)}], which no file can hold.", e);
            }
            if (length is { } known && known - array.HeaderLength < bytes)
                throw DatasetErrors.Invalid($"{label} is cut off: its shape [{string.Join(',', array.Shape)}] takes {bytes} bytes, it has {Math.Max(0, known - array.HeaderLength)}.");
            return array;
        });
    }

    /// <summary>The samples in order as stored bytes, little endian, without the first <paramref name="skip"/>. The buffer is the same each time.</summary>
    public IEnumerable<ReadOnlyMemory<byte>> Read(long skip, long count)
    {
        if (Made is { } made)
        {
            foreach (var own in made(skip, count))
                yield return own;
            yield break;
        }
        using var content = Guard(Label, () =>
        {
            var stream = OpenContent(Path, Member, out _);
            stream.ReadExactly(new byte[HeaderLength]);
            return stream;
        });
        var sample = new byte[SampleBytes];
        for (long index = 0; index < skip + count; index++)
        {
            var at = index;
            Guard(Label, () =>
            {
                var got = content.ReadAtLeast(sample, sample.Length, throwOnEndOfStream: false);
                return got == sample.Length ? 0 : throw DatasetErrors.Invalid($"{Label} is cut off: it ends in sample {at} of the {Count} that it claims.");
            });
            if (index < skip)
                continue;
            if (BigEndian)
                Swap(sample, Type.Bits() / 8);
            yield return sample;
        }
    }

    private static Stream OpenContent(string path, string? member, out long? length)
    {
        if (member is not null)
        {
            var zip = OpenZip(path);
            try
            {
                var entry = zip.GetEntry(member + ".npy") ?? throw new InvalidDataException($"no array '{member}'");
                if (entry.Length > (entry.CompressedLength + 64) * LargestRatio)
                    throw new InvalidDataException("it claims more bytes than its compressed form can hold");
                length = entry.Length;
                return new Owning(entry.Open(), zip);
            }
            catch
            {
                zip.Dispose();
                throw;
            }
        }
        var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
        if (path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase))
        {
            length = null;
            return new Owning(new GZipStream(file, CompressionMode.Decompress), file);
        }
        length = file.Length;
        return file;
    }

    private static ZipArchive OpenZip(string path) => Guard($"'{System.IO.Path.GetFileName(path)}'", () => ZipFile.OpenRead(path));

    private static ArrayFile ReadNpyHeader(Stream content, string path, string? member, string label)
    {
        Span<byte> start = stackalloc byte[12];
        content.ReadExactly(start[..8]);
        if (!start[..6].SequenceEqual((ReadOnlySpan<byte>)[0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y']) || start[6] is < 1 or > 3)
            throw DatasetErrors.Invalid($"{label} is no NumPy array of format 1 to 3.");
        var wide = start[6] > 1;
        content.ReadExactly(start.Slice(8, wide ? 4 : 2));
        var length = wide ? BinaryPrimitives.ReadUInt32LittleEndian(start[8..]) : BinaryPrimitives.ReadUInt16LittleEndian(start[8..]);
        if (length > 1 << 16)
            throw DatasetErrors.Invalid($"{label} has a header of {length} bytes; that of a plain array is far shorter.");
        var text = new byte[length];
        content.ReadExactly(text);
        var header = Encoding.UTF8.GetString(text);
        if (NpyHeader.Match(header) is not { Success: true } match)
            throw DatasetErrors.Invalid($"{label} holds no plain array; its header is {header.Trim()[..Math.Min(100, header.Trim().Length)]}");
        if (match.Groups["fortran"].Value == "True")
            throw DatasetErrors.Invalid($"{label} is stored in Fortran order, so samples do not lie one after another. Save numpy.ascontiguousarray(x) instead.");
        var shape = match.Groups["shape"].Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .Select(d => long.TryParse(d, NumberStyles.None, CultureInfo.InvariantCulture, out var extent) ? extent : throw DatasetErrors.Invalid($"{label} claims the extent {d}, which no file can hold."))
            .ToArray();
        var descr = match.Groups["descr"].Value;
        return new ArrayFile
        {
            Path = path,
            Member = member,
            Shape = shape,
            HeaderLength = (wide ? 12 : 10) + (int)length,
            BigEndian = descr[0] == '>',
            Type = descr[1..] switch
            {
                "f2" => ElementType.Float16,
                "f4" => ElementType.Float,
                "f8" => ElementType.Double,
                "i1" => ElementType.Int8,
                "i2" => ElementType.Int16,
                "i4" => ElementType.Int32,
                "i8" => ElementType.Int64,
                "u1" => ElementType.UInt8,
                "u2" => ElementType.UInt16,
                "u4" => ElementType.UInt32,
                "u8" => ElementType.UInt64,
                "b1" => ElementType.Bool,
                _ => throw DatasetErrors.Invalid($"{label} has elements of NumPy type '{descr}'; expected f2, f4, f8, i1 to i8, u1 to u8 or b1."),
            },
        };
    }

    // The idx format: two zero bytes, a type, the rank, then each extent and all elements big endian (http://yann.lecun.com/exdb/mnist/).
    private static ArrayFile ReadIdxHeader(Stream content, string path, string label)
    {
        Span<byte> start = stackalloc byte[4];
        if (content.ReadAtLeast(start, 4, throwOnEndOfStream: false) < 4 || start[0] != 0 || start[1] != 0 || start[3] is 0 or > 8)
            throw DatasetErrors.Invalid($"{label} is neither a NumPy array (.npy, .npz) nor an idx file.");
        var rank = start[3];
        var type = start[2] switch
        {
            0x08 => ElementType.UInt8,
            0x09 => ElementType.Int8,
            0x0B => ElementType.Int16,
            0x0C => ElementType.Int32,
            0x0D => ElementType.Float,
            0x0E => ElementType.Double,
            var other => throw DatasetErrors.Invalid($"{label} is an idx file of the unknown element type 0x{other:X2}."),
        };
        var extents = new byte[4 * rank];
        content.ReadExactly(extents);
        return new ArrayFile
        {
            Path = path,
            Type = type,
            BigEndian = type.Bits() > 8,
            Shape = [.. Enumerable.Range(0, rank).Select(i => (long)BinaryPrimitives.ReadUInt32BigEndian(extents.AsSpan(4 * i)))],
            HeaderLength = 4 + (4 * rank),
        };
    }

    private static T Guard<T>(string label, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException or NotSupportedException)
        {
            throw DatasetErrors.Invalid($"Cannot read {label}: {(e is EndOfStreamException ? "it is cut off" : e.Message.TrimEnd('.'))}.", e);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException or UnauthorizedAccessException)
        {
            throw DatasetErrors.Invalid($"Cannot read {label}: {(e is UnauthorizedAccessException ? "access is denied" : "there is no such file")}.", e);
        }
    }

    private static void Swap(Span<byte> bytes, int size)
    {
        for (var i = 0; size > 1 && i < bytes.Length; i += size)
            bytes.Slice(i, size).Reverse();
    }

    private static string List(IReadOnlyList<string> names) =>
        names.Count == 0 ? "none" : string.Join(", ", names.Take(20).Select(n => $"'{n}'")) + (names.Count > 20 ? ", ..." : "");

    [GeneratedRegex(@"^(.+)[-.]idx([1-8])-[a-z0-9]+(\.gz)?\z", RegexOptions.CultureInvariant)]
    private static partial Regex IdxName { get; }

    // NumPy writes the keys in this order; the order of a dictionary is nobody else's business, so any is taken.
    [GeneratedRegex("""
        ^\s*\{(?=[^}]*'descr':\s*'(?<descr>[<>|=][a-z]\d{1,2})')(?=[^}]*'fortran_order':\s*(?<fortran>True|False))(?=[^}]*'shape':\s*\((?<shape>[\d,\sL]{0,400})\))[^}]*\}\s*\z
        """, RegexOptions.CultureInvariant)]
    private static partial Regex NpyHeader { get; }

    private sealed class Owning(Stream inner, IDisposable owner) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, count);

        public override int Read(Span<byte> buffer) => inner.Read(buffer);

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                inner.Dispose();
                owner.Dispose();
            }
            base.Dispose(disposing);
        }
    }
}
