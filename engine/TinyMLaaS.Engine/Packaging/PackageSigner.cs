using System.Security.Cryptography;
using Org.BouncyCastle.Crypto;
using Org.BouncyCastle.Crypto.Parameters;
using Org.BouncyCastle.Crypto.Signers;
using Org.BouncyCastle.OpenSsl;
using Org.BouncyCastle.Security;
using Org.BouncyCastle.X509;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>Signs packages: Ed25519 (RFC 8032), which gives the same signature for the same bytes.</summary>
public sealed class PackageSigner
{
    private readonly Ed25519PrivateKeyParameters _key;

    private PackageSigner(Ed25519PrivateKeyParameters key)
    {
        _key = key;
        PublicKey = new PackageKey(key.GeneratePublicKey());
    }

    /// <summary>
    /// The key of an installation that has none of its own. Everybody has it, so its signature shows that a package is as it was made, and not who made it.
    /// </summary>
    public static PackageSigner Development { get; } = new(new Ed25519PrivateKeyParameters(SHA256.HashData("TinyMLaaS: the key of development, which is no secret"u8)));

    /// <summary>Who checks needs this.</summary>
    public PackageKey PublicKey { get; }

    /// <summary>Eight digits of the key's digest, for versions: another key makes other packages.</summary>
    internal string ShortId => PublicKey.Id["sha256:".Length..][..8];

    /// <summary>Reads a private key: PEM, PKCS#8, as <c>openssl genpkey -algorithm ed25519</c> writes it.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static PackageSigner FromPem(string pem) =>
        PackageKey.Parse(pem) is Ed25519PrivateKeyParameters key ? new PackageSigner(key) : throw new FormatException("Expected a private Ed25519 key in PEM, as 'openssl genpkey -algorithm ed25519' writes it.");

    /// <summary>64 bytes.</summary>
    internal byte[] Sign(byte[] content)
    {
        var signer = new Ed25519Signer();
        signer.Init(true, _key);
        signer.BlockUpdate(content, 0, content.Length);
        return signer.GenerateSignature();
    }
}

/// <summary>Checks what a <see cref="PackageSigner"/> has signed.</summary>
public sealed class PackageKey
{
    private readonly Ed25519PublicKeyParameters _key;

    internal PackageKey(Ed25519PublicKeyParameters key)
    {
        _key = key;
        Id = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(SubjectPublicKeyInfoFactory.CreateSubjectPublicKeyInfo(key).GetDerEncoded()));
    }

    /// <summary>Digest of the public key in its standard form (SubjectPublicKeyInfo, DER).</summary>
    public string Id { get; }

    /// <summary>Reads a public key: PEM, as <c>openssl pkey -pubout</c> writes it.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static PackageKey FromPem(string pem) =>
        Parse(pem) is Ed25519PublicKeyParameters key ? new PackageKey(key) : throw new FormatException("Expected a public Ed25519 key in PEM, as 'openssl pkey -pubout' writes it.");

    /// <summary>True when the key's owner has signed these bytes.</summary>
    internal bool HasSigned(byte[] content, byte[] signature)
    {
        var signer = new Ed25519Signer();
        signer.Init(false, _key);
        signer.BlockUpdate(content, 0, content.Length);
        return signer.VerifySignature(signature);
    }

    internal static AsymmetricKeyParameter? Parse(string pem)
    {
        try
        {
            using var text = new StringReader(pem);
            using var reader = new PemReader(text);
            return reader.ReadObject() as AsymmetricKeyParameter;
        }
        catch (Exception error) when (error is IOException or InvalidKeyException or GeneralSecurityException or ArgumentException or InvalidCastException)
        {
            return null;
        }
    }
}
