using System.Buffers;

namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>The one spelling of a content address.</summary>
public static class Digests
{
    /// <summary>What every digest starts with.</summary>
    public const string Prefix = "sha256:";

    private const int HexDigits = 64;
    private static readonly SearchValues<char> Hex = SearchValues.Create("0123456789abcdef");

    /// <summary>True for <c>sha256:</c> and 64 lower-case hexadecimal digits, and nothing else.</summary>
    public static bool IsDigest(string? text) =>
        text is not null
        && text.Length == Prefix.Length + HexDigits
        && text.StartsWith(Prefix, StringComparison.Ordinal)
        && text.AsSpan(Prefix.Length).IndexOfAnyExcept(Hex) < 0;

    /// <summary>The digest of these 32 bytes of a sha-256.</summary>
    public static string FromHash(ReadOnlySpan<byte> sha256) => Prefix + Convert.ToHexStringLower(sha256);
}
