using System.Security.Cryptography;
using System.Text;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// Keys for what instances of a service sign for each other: derived from the credentials, which all instances have, so that each accepts what another has signed. Where there is no file of credentials they are
/// random, and what was signed ends with the process.
/// </summary>
public sealed class SharedKeys
{
    private const int KeyBytes = 32;

    private readonly byte[][] _secrets;

    internal SharedKeys(ServiceCredential credential) =>
        _secrets = credential.Lines.Count > 0 ? [.. credential.Lines.Select(Encoding.UTF8.GetBytes)] : [RandomNumberGenerator.GetBytes(KeyBytes)];

    /// <summary>The keys for a purpose: the first to sign with, any to accept.</summary>
    public IReadOnlyList<byte[]> For(string purpose) => [.. _secrets.Select(secret => HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, KeyBytes, info: Encoding.UTF8.GetBytes(purpose)))];
}
