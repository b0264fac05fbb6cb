using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace TinyMLaaS.Integration.Tests.Security;

/// <summary>An authority and a certificate of 127.0.0.1 that it signed, as PEM files.</summary>
internal static class TestCertificates
{
    /// <returns>The authority, the certificate and its key.</returns>
    public static (string Authority, string Certificate, string Key) Make(string folder, string name)
    {
        var (from, to) = (DateTimeOffset.UnixEpoch.AddYears(50), DateTimeOffset.UnixEpoch.AddYears(80));
        using var authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var authorityRequest = new CertificateRequest($"CN={name} authority", authorityKey, HashAlgorithmName.SHA256);
        authorityRequest.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        authorityRequest.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        authorityRequest.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(authorityRequest.PublicKey, critical: false));
        using var authority = authorityRequest.CreateSelfSigned(from, to);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], critical: false));
        using var certificate = request.Create(authority, from, to, RandomNumberGenerator.GetBytes(8));
        string Write(string file, string pem)
        {
            var path = Path.Combine(folder, $"{name}-{file}.pem");
            File.WriteAllText(path, pem);
            return path;
        }
        return (Write("authority", authority.ExportCertificatePem()), Write("certificate", certificate.ExportCertificatePem()), Write("key", key.ExportPkcs8PrivateKeyPem()));
    }
}
