using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Registry;

/// <summary>Signs tokens and reads them: a JSON document and its HMAC-SHA256, both in base64url with a dot between them. Every instance with the same credentials accepts them.</summary>
internal sealed class RegistryTokens(SharedKeys keys, TimeProvider time)
{
    /// <summary>How long a token is accepted.</summary>
    public static readonly TimeSpan Life = TimeSpan.FromMinutes(5);

    private const int MaxLength = 16 << 10;

    private readonly IReadOnlyList<byte[]> _keys = keys.For("registry-token");

    /// <summary>Signs one, which ends after its life.</summary>
    public string Sign(string tenant, Guid? key, IReadOnlyList<string> access)
    {
        var token = new RegistryToken { Tenant = tenant, Key = key, Ends = (time.GetUtcNow() + Life).ToUnixTimeSeconds(), Access = access };
        var payload = Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(token, ContractJson.Options));
        return $"{payload}.{Base64Url.EncodeToString(Signature(_keys[0], payload))}";
    }

    /// <summary>Reads one; null when it was not signed here, or has ended.</summary>
    public RegistryToken? Read(string text)
    {
        if (text.Length > MaxLength || text.IndexOf('.', StringComparison.Ordinal) is not (> 0 and var dot))
            return null;
        var payload = text[..dot];
        var shown = new byte[HMACSHA256.HashSizeInBytes];
        if (!Base64Url.IsValid(payload) || !Base64Url.IsValid(text.AsSpan(dot + 1)) || !Base64Url.TryDecodeFromChars(text.AsSpan(dot + 1), shown, out var length) || length != shown.Length)
            return null;
        // Nothing of it is looked at before it is known whose it is.
        if (!_keys.Any(key => CryptographicOperations.FixedTimeEquals(Signature(key, payload), shown)))
            return null;
        var token = JsonSerializer.Deserialize<RegistryToken>(Base64Url.DecodeFromChars(payload), ContractJson.Options)!;
        return token.Ends > time.GetUtcNow().ToUnixTimeSeconds() ? token : null;
    }

    private static byte[] Signature(byte[] key, string payload) => HMACSHA256.HashData(key, Encoding.ASCII.GetBytes(payload));
}
