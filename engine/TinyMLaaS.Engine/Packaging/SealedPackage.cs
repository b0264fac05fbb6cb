using System.Buffers.Binary;
using System.Formats.Tar;
using System.IO.Hashing;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>
/// A package that says who made it of what: a tar, compressed or not, whose first entry is an in-toto statement (in-toto Attestation Framework 1.0) in an envelope signed with Ed25519 (DSSE 1.0).
/// The statement's first subject is the digest of every byte after that entry, and the entry itself can be written in one way only, so that no byte of the file can change unseen.
/// </summary>
/// <remarks>In a compressed package the entry is a gzip member of its own, stored and not compressed: programs that unpack <c>.tar.gz</c> read both members as one.</remarks>
public sealed class SealedPackage
{
    /// <summary>Name of the first entry.</summary>
    public const string EntryName = "provenance.dsse.json";

    private const string PayloadType = "application/vnd.in-toto+json";
    private const int LargestSeal = 16 << 20;
    private const int TarBlock = 512;
    private const int StoredBlock = 0xffff;

    // RFC 1952: deflate, no name, no time, no extra flags, an unknown system.
    private static readonly byte[] GzipHeader = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

    private SealedPackage(JsonObject statement, string keyId, byte[] signed, byte[] signature)
    {
        Statement = statement;
        KeyId = keyId;
        _signed = signed;
        _signature = signature;
    }

    private readonly byte[] _signed;
    private readonly byte[] _signature;

    /// <summary>The in-toto statement.</summary>
    public JsonObject Statement { get; }

    /// <summary>Whose signature it says to have: <see cref="PackageKey.Id"/>.</summary>
    public string KeyId { get; }

    /// <summary>True when the owner of the key has signed the statement.</summary>
    public bool IsSignedBy(PackageKey key)
    {
        ArgumentNullException.ThrowIfNull(key);
        return key.Id == KeyId && key.HasSigned(_signed, _signature);
    }

    /// <summary>Writes a package, replacing what is there.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="body">What is sealed: a tar, or a gzip of one.</param>
    /// <param name="statement">Makes the statement for the digest of the body, 64 hexadecimal digits.</param>
    /// <param name="signer">Whose seal.</param>
    internal static void Write(string path, string body, Func<string, JsonObject> statement, PackageSigner signer)
    {
        using var content = File.OpenRead(body);
        var payload = PackageJson.Bytes(statement(Convert.ToHexStringLower(SHA256.HashData(content))));
        var envelope = PackageJson.Bytes(new JsonObject
        {
            ["payloadType"] = PayloadType,
            ["payload"] = Convert.ToBase64String(payload),
            ["signatures"] = new JsonArray(new JsonObject { ["keyid"] = signer.PublicKey.Id, ["sig"] = Convert.ToBase64String(signer.Sign(Signed(payload))) }),
        });
        content.Position = 0;
        using var file = File.Create(path);
        file.Write(Entry(envelope, IsGzip(content)));
        content.CopyTo(file);
    }

    /// <summary>Reads a package's seal and checks it against all that follows; whose signature it is remains to be asked.</summary>
    /// <exception cref="InvalidDataException">It is no sealed package, or not as it was sealed; the message says which.</exception>
    public static SealedPackage Read(Stream package)
    {
        ArgumentNullException.ThrowIfNull(package);
        var compressed = IsGzip(package);
        var envelope = compressed ? Stored(package) : FirstEntry(package);
        SealedPackage seal;
        string? expected;
        try
        {
            var json = JsonNode.Parse(envelope, documentOptions: new JsonDocumentOptions { MaxDepth = 16 })!;
            var payload = Convert.FromBase64String((string)json["payload"]!);
            var signature = json["signatures"] is JsonArray { Count: 1 } signatures ? signatures[0]! : throw new FormatException("it has not one signature");
            seal = new SealedPackage(
                JsonNode.Parse(payload, documentOptions: new JsonDocumentOptions { MaxDepth = 64 })!.AsObject(), (string)signature["keyid"]!, Signed(payload), Convert.FromBase64String((string)signature["sig"]!));
            expected = seal.Statement["subject"] is JsonArray { Count: > 0 } subjects ? subjects[0]?["digest"]?["sha256"]?.ToString() : null;
            var canonical = PackageJson.Bytes(new JsonObject
            {
                ["payloadType"] = PayloadType,
                ["payload"] = Convert.ToBase64String(payload),
                ["signatures"] = new JsonArray(new JsonObject { ["keyid"] = seal.KeyId, ["sig"] = Convert.ToBase64String(seal._signature) }),
            });
            if (!canonical.AsSpan().SequenceEqual(envelope))
                throw new FormatException("it is not written as seals are");
        }
        catch (Exception error) when (error is JsonException or FormatException or InvalidOperationException or NullReferenceException or ArgumentException)
        {
            throw new InvalidDataException($"The seal '{EntryName}' was changed: {error.Message}.", error);
        }
        // What the entry was read from is written again, so that its header and padding count too.
        var length = package.Position;
        package.Position = 0;
        var head = new byte[length];
        package.ReadExactly(head);
        if (!head.AsSpan().SequenceEqual(Entry(envelope, compressed)))
            throw new InvalidDataException($"The seal '{EntryName}' was changed: it is not written as seals are.");
        var digest = Convert.ToHexStringLower(SHA256.HashData(package));
        return digest == expected ? seal : throw new InvalidDataException($"The content was changed: it has the digest sha256:{digest}, sealed was sha256:{expected}.");
    }

    /// <summary>What is signed: DSSE 1.0, the pre-authentication encoding.</summary>
    private static byte[] Signed(byte[] payload) => [.. Encoding.UTF8.GetBytes($"DSSEv1 {PayloadType.Length} {PayloadType} {payload.Length} "), .. payload];

    private static bool IsGzip(Stream content)
    {
        var isGzip = content.ReadByte() == 0x1f && content.ReadByte() == 0x8b;
        content.Position = 0;
        return isGzip;
    }

    /// <summary>The entry as it stands at the package's beginning.</summary>
    private static byte[] Entry(byte[] envelope, bool compressed)
    {
        using var plain = new MemoryStream();
        // Nothing else disposes of the writer: at its end it would mark that of the archive.
        var tar = new TarWriter(plain, TarEntryFormat.Ustar, leaveOpen: true);
        PackageEntry.Write(tar, PackageFile.FromMemory(EntryName, envelope));
        return compressed ? Store(plain.ToArray()) : plain.ToArray();
    }

    /// <summary>The first entry's content; the stream stands behind the entry then.</summary>
    private static byte[] FirstEntry(Stream package)
    {
        var header = new byte[TarBlock];
        if (package.ReadAtLeast(header, TarBlock, throwOnEndOfStream: false) < TarBlock || !header.AsSpan(0, EntryName.Length + 1).SequenceEqual(Encoding.ASCII.GetBytes(EntryName + "\0")))
            throw new InvalidDataException($"It is no package of ours: a tar whose first entry is '{EntryName}' was expected.");
        var octal = Encoding.ASCII.GetString(header, 124, 11);
        if (!octal.All(c => c is >= '0' and <= '7') || Convert.ToInt64(octal, 8) is not (>= 2 and <= LargestSeal) || Convert.ToInt64(octal, 8) > package.Length - TarBlock)
            throw new InvalidDataException($"The seal '{EntryName}' was changed: it cannot be {octal} (octal) bytes long.");
        var envelope = new byte[Convert.ToInt32(octal, 8)];
        package.ReadExactly(envelope);
        package.Position = Math.Min(package.Length, (package.Position + TarBlock - 1) / TarBlock * TarBlock);
        return envelope;
    }

    /// <summary>A gzip member without compression (RFC 1951, 3.2.4), which no version of a compressor changes.</summary>
    private static byte[] Store(byte[] content)
    {
        using var member = new MemoryStream();
        member.Write(GzipHeader);
        Span<byte> head = stackalloc byte[5];
        Span<byte> tail = stackalloc byte[8];
        for (var at = 0; at < content.Length; at += StoredBlock)
        {
            var part = content.AsSpan(at, Math.Min(StoredBlock, content.Length - at));
            head[0] = (byte)(at + part.Length == content.Length ? 1 : 0);
            BinaryPrimitives.WriteUInt16LittleEndian(head[1..], (ushort)part.Length);
            BinaryPrimitives.WriteUInt16LittleEndian(head[3..], (ushort)~part.Length);
            member.Write(head);
            member.Write(part);
        }
        BinaryPrimitives.WriteUInt32LittleEndian(tail, Crc32.HashToUInt32(content));
        BinaryPrimitives.WriteUInt32LittleEndian(tail[4..], (uint)content.Length);
        member.Write(tail);
        return member.ToArray();
    }

    /// <summary>The seal of a compressed package; the stream stands behind its member then.</summary>
    private static byte[] Stored(Stream package)
    {
        using var content = new MemoryStream();
        package.Position = GzipHeader.Length;
        var head = new byte[5];
        do
        {
            if (package.ReadAtLeast(head, head.Length, throwOnEndOfStream: false) < head.Length || head[0] > 1 || content.Length > LargestSeal)
                throw new InvalidDataException("It is no package of ours: its first gzip member is no seal.");
            var part = new byte[BinaryPrimitives.ReadUInt16LittleEndian(head.AsSpan(1))];
            if (package.ReadAtLeast(part, part.Length, throwOnEndOfStream: false) < part.Length)
                throw new InvalidDataException("The package ends inside its seal.");
            content.Write(part);
        }
        while (head[0] == 0);
        package.Position = Math.Min(package.Length, package.Position + 8);
        content.Position = 0;
        return FirstEntry(content);
    }
}
