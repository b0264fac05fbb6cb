using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Packaging;

namespace TinyMLaaS.Engine.Tests.Packaging;

/// <summary>Seals of packages: what GNU tar, OpenSSL and a changed byte make of them.</summary>
public sealed class SealedPackageTests : IDisposable
{
    private const string PrivateKey = """
        -----BEGIN PRIVATE KEY-----
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
        -----END PRIVATE KEY-----
        """;

    // The same key of RFC 8032, section 7.1, test 1, whose public half stands there.
    private const string PublicKeyBytes = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<bool> Formats => [true, false];

    [Theory]
    [MemberData(nameof(Formats))]
    public void A_package_is_an_archive_as_before_with_its_provenance_first(bool compressed)
    {
        var package = Package(compressed);

        using var stream = File.OpenRead(package);
        using var plain = compressed ? (Stream)new GZipStream(stream, CompressionMode.Decompress) : stream;
        using var tar = new TarReader(plain);
        Assert.Equal(SealedPackage.EntryName, tar.GetNextEntry()!.Name);
        Assert.Equal("a.txt", tar.GetNextEntry()!.Name);
        Assert.Null(tar.GetNextEntry());
        // And by a program that is not .NET's.
        Assert.Equal($"{SealedPackage.EntryName}\na.txt\n", Run("tar", "--list", "--file", package));
        Assert.Equal("hello", Run("tar", "--extract", "--to-stdout", "--file", package, "a.txt"));
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void OpenSSL_finds_the_signature_right(bool compressed)
    {
        var package = Package(compressed);
        var envelope = JsonNode.Parse(Run("tar", "--extract", "--to-stdout", "--file", package, SealedPackage.EntryName))!;
        var payload = Convert.FromBase64String((string)envelope["payload"]!);
        // DSSE 1.0, protocol.md: PAE(type, body).
        var signed = _folder.Write("signed", [.. Encoding.UTF8.GetBytes($"DSSEv1 28 application/vnd.in-toto+json {payload.Length} "), .. payload]);
        var signature = _folder.Write("signature", Convert.FromBase64String((string)envelope["signatures"]![0]!["sig"]!));
        var key = _folder.Write("key.pem", PrivateKey);
        Run("openssl", "pkey", "-in", key, "-pubout", "-out", key + ".pub");

        Assert.Contains("Signature Verified Successfully", Run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key + ".pub", "-rawin", "-in", signed, "-sigfile", signature), StringComparison.Ordinal);
        // The key's name is what OpenSSL makes of it.
        Run("openssl", "pkey", "-pubin", "-in", key + ".pub", "-outform", "DER", "-out", key + ".der");
        var der = File.ReadAllBytes(key + ".der");
        Assert.EndsWith(PublicKeyBytes, Convert.ToHexStringLower(der), StringComparison.Ordinal);
        Assert.Equal("sha256:" + ImageFile.Hash(der), (string?)envelope["signatures"]![0]!["keyid"]);
        Assert.Equal(PackageKey.FromPem(File.ReadAllText(key + ".pub")).Id, PackageSigner.FromPem(PrivateKey).PublicKey.Id);
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Whatever_byte_changes_it_is_seen(bool compressed)
    {
        var package = Package(compressed);
        var content = File.ReadAllBytes(package);
        var key = PackageSigner.FromPem(PrivateKey).PublicKey;
        Assert.True(Holds(content, key));

        for (var at = 0; at < content.Length; at++)
        {
            foreach (var change in (byte[])[1, 0x20, 0x80])
            {
                content[at] ^= change;
                Assert.False(Holds(content, key), $"byte {at} of {content.Length} was changed by {change} and the seal holds");
                content[at] ^= change;
            }
        }
        // Nor may anything be missing, or follow.
        Assert.False(Holds(content[..^1], key));
        Assert.False(Holds([.. content, 0], key));
        Assert.False(Holds([], key));
    }

    [Fact]
    public void Another_key_has_not_signed_it()
    {
        using var stream = File.OpenRead(Package(compressed: false));
        var seal = SealedPackage.Read(stream);

        Assert.True(seal.IsSignedBy(PackageSigner.FromPem(PrivateKey).PublicKey));
        Assert.False(seal.IsSignedBy(PackageSigner.Development.PublicKey));
    }

    [Fact]
    public void A_seal_may_be_larger_than_a_block_that_is_stored()
    {
        var package = Package(compressed: true, more: new string('x', 200_000));

        using var stream = File.OpenRead(package);
        Assert.Equal(200_000, ((string)SealedPackage.Read(stream).Statement["more"]!).Length);
        Assert.Equal("hello", Run("tar", "--extract", "--to-stdout", "--file", package, "a.txt"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("no package")]
    [InlineData("\u001f\u008b")]
    public void What_is_no_package_is_refused(string content)
    {
        using var stream = new MemoryStream(Encoding.Latin1.GetBytes(content));

        Assert.StartsWith("It is no package of ours", Assert.Throws<InvalidDataException>(() => SealedPackage.Read(stream)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")]
    [InlineData("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----")]
    public void What_is_no_private_key_is_refused(string pem) => Assert.Throws<FormatException>(() => PackageSigner.FromPem(pem));

    private static bool Holds(byte[] content, PackageKey key)
    {
        try
        {
            using var stream = new MemoryStream(content);
            return SealedPackage.Read(stream).IsSignedBy(key);
        }
        catch (InvalidDataException)
        {
            return false;
        }
    }

    private string Package(bool compressed, string? more = null)
    {
        var (body, package) = (Path.Combine(_folder.Path, "body"), Path.Combine(_folder.Path, "package"));
        PackageFile[] files = [PackageFile.FromMemory("a.txt", "hello"u8.ToArray())];
        if (compressed)
        {
            PackageArchive.Write(body, files, CancellationToken.None);
        }
        else
        {
            using var stream = File.Create(body);
            using var tar = new TarWriter(stream, TarEntryFormat.Ustar);
            PackageEntry.Write(tar, files[0]);
        }
        var signer = PackageSigner.FromPem(PrivateKey);
        SealedPackage.Write(
            package, body,
            sha256 => new JsonObject { ["subject"] = new JsonArray(new JsonObject { ["name"] = "package", ["digest"] = new JsonObject { ["sha256"] = sha256 } }), ["more"] = more },
            signer);
        Assert.Equal(ImageFile.Hash(File.ReadAllBytes(body)), ImageFile.Hash(File.ReadAllBytes(package)[^(int)new FileInfo(body).Length..]));
        return package;
    }

    private static string Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program}: {error.Result}");
        return output;
    }
}
