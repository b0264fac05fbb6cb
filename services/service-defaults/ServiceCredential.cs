using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Options;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Section <c>Services</c>: beside the addresses of other services, what this one shows them and accepts from them.</summary>
internal sealed class ServiceCredentialOptions
{
    public const string Section = "Services";

    /// <summary>
    /// A file of credentials, one a line, each of at least <see cref="ServiceCredential.ShortestLength"/> characters. The first is shown to other services; every one is
    /// accepted from them, so that one can follow another without a pause, and so that callers can have different ones.
    /// </summary>
    public string? CredentialFile { get; set; }
}

/// <summary>What services know each other by. Without a file there is none, which is allowed only between services of one machine.</summary>
internal sealed class ServiceCredential
{
    public const int ShortestLength = 32;
    private const int MostLines = 100;
    private const string Expected = "a file with one credential a line, each of at least 32 printable characters without spaces, e.g. made by 'openssl rand -hex 32'";

    private readonly byte[][] _accepted;

    private ServiceCredential(IReadOnlyList<string> lines)
    {
        Lines = lines;
        Shown = lines.Count > 0 ? lines[0] : null;
        _accepted = [.. lines.Select(Hash)];
    }

    /// <summary>All of them.</summary>
    public IReadOnlyList<string> Lines { get; }

    /// <summary>What this service shows to others; null when there is no file.</summary>
    public string? Shown { get; }

    /// <summary>True when callers must show one.</summary>
    public bool IsRequired => _accepted.Length > 0;

    /// <summary>Reads the file.</summary>
    /// <exception cref="FormatException">It cannot be read, or holds no credentials.</exception>
    public static ServiceCredential Read(ServiceCredentialOptions options)
    {
        if (string.IsNullOrEmpty(options.CredentialFile))
            return new ServiceCredential([]);
        string[] lines;
        try
        {
            lines = [.. File.ReadLines(options.CredentialFile).Take(MostLines + 1).Select(l => l.Trim()).Where(l => l.Length > 0)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FormatException($"Services:CredentialFile cannot be read: {e.Message} Expected {Expected}.", e);
        }
        // Never the text itself.
        for (var i = 0; i < lines.Length; i++)
        {
            if (lines[i].Length < ShortestLength || lines[i].Any(c => c is <= ' ' or > '~'))
                throw new FormatException($"Services:CredentialFile '{options.CredentialFile}': credential {i + 1} has {lines[i].Length} characters or one that cannot be sent. Expected {Expected}.");
        }
        return lines.Length is > 0 and <= MostLines
            ? new ServiceCredential(lines)
            : throw new FormatException($"Services:CredentialFile '{options.CredentialFile}' holds {(lines.Length == 0 ? "no credential" : $"more than {MostLines} credentials")}. Expected {Expected}.");
    }

    /// <summary>Whether a caller may be believed. Compares hashes of one length in constant time, and all of them.</summary>
    public bool Accepts(string shown)
    {
        var hash = Hash(shown);
        var found = false;
        foreach (var accepted in _accepted)
            found |= CryptographicOperations.FixedTimeEquals(accepted, hash);
        return found;
    }

    private static byte[] Hash(string text) => SHA256.HashData(Encoding.UTF8.GetBytes(text));
}

/// <summary>Refuses a file that cannot be used, and its absence where strangers could reach the service.</summary>
internal sealed class ServiceCredentialValidation(IReadOnlyList<ServiceListener> listeners, IEnumerable<ServiceModule> modules) : IValidateOptions<ServiceCredentialOptions>
{
    public ValidateOptionsResult Validate(string? name, ServiceCredentialOptions options)
    {
        try
        {
            if (ServiceCredential.Read(options).IsRequired)
                return ValidateOptionsResult.Success;
        }
        catch (FormatException error)
        {
            return ValidateOptionsResult.Fail(error.Message);
        }
        var exposed = listeners.FirstOrDefault(l => l.IsBeyondLoopback && modules.Any(m => m.Name == l.Service && !m.FacesClients));
        return exposed is null
            ? ValidateOptionsResult.Success
            : ValidateOptionsResult.Fail(
                $"Services:CredentialFile is not set, but {exposed.Service} listens on {exposed.Tcp}, which is more than loopback: whoever reaches it could act for any tenant. "
                + "Set it (environment: Services__CredentialFile) to a file that all services share, or listen on loopback.");
    }
}
