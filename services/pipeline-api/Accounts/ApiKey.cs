using System.Buffers;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>
/// A key: <c>tml_</c>, eight characters to recognise it by, <c>_</c>, and 256 random bits in base64url. Only its SHA-256 is kept: what has 256 bits of entropy
/// cannot be guessed, so a slow hash would cost every request and protect nothing.
/// </summary>
internal sealed class ApiKey
{
    public const string Mark = "tml_";

    private const string PrefixAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
    private const int PrefixLength = 8;
    private const int SecretBytes = 32;
    private const int SecretLength = 43;
    private const int Length = 4 + PrefixLength + 1 + SecretLength;

    private static readonly SearchValues<char> Allowed = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    private ApiKey(string text) => Text = text;

    /// <summary>The whole key. Never to be written anywhere but into the answer that makes it.</summary>
    public string Text { get; }

    /// <summary>What may be shown of it.</summary>
    public string Prefix => Text[..(Mark.Length + PrefixLength)];

    /// <summary>SHA-256 of the whole key in hexadecimal. Keys are found by it, so none is ever compared with another byte by byte.</summary>
    public string Hash => Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(Text)));

    public static ApiKey New() => new(
        $"{Mark}{RandomNumberGenerator.GetString(PrefixAlphabet, PrefixLength)}_{Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(SecretBytes))}");

    /// <summary>Null for what cannot be a key.</summary>
    public static ApiKey? Read(string text) =>
        text.Length == Length && text.StartsWith(Mark, StringComparison.Ordinal) && text.AsSpan().IndexOfAnyExcept(Allowed) < 0 ? new ApiKey(text) : null;

    /// <summary>The prefix alone: the rest is a secret.</summary>
    public override string ToString() => Prefix;
}
