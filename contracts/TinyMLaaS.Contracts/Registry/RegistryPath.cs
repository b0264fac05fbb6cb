using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Contracts.Registry;

/// <summary>
/// A path under <c>/v2</c>, checked: the repository, the tag, the digest and the upload that it names are spelled as they may be. The first part of a repository's name is the tenant that owns it.
/// </summary>
public sealed class RegistryPath
{
    /// <summary>Where a registry begins.</summary>
    public const string Root = "/v2/";

    private const int MaxLength = 512;
    private const string UploadsEnd = "/blobs/uploads";

    private RegistryPath(RegistryResource resource, string repository, string reference)
    {
        Resource = resource;
        Repository = repository;
        Reference = reference;
    }

    /// <summary>What it is about.</summary>
    public RegistryResource Resource { get; }

    /// <summary>The repository, its tenant first.</summary>
    public string Repository { get; }

    /// <summary>The tag, digest or upload; empty where there is none.</summary>
    public string Reference { get; }

    /// <summary>The owner.</summary>
    public string Tenant => Repository[..Repository.IndexOf('/', StringComparison.Ordinal)];

    /// <summary>The repository without its owner.</summary>
    public string Name => Repository[(Tenant.Length + 1)..];

    /// <summary>The path again, from the root.</summary>
    public string Text => Root + Repository + Resource switch
    {
        RegistryResource.Manifest => $"/manifests/{Reference}",
        RegistryResource.Blob => $"/blobs/{Reference}",
        RegistryResource.Uploads => $"{UploadsEnd}/",
        RegistryResource.Upload => $"{UploadsEnd}/{Reference}",
        RegistryResource.Tags => "/tags/list",
        _ => $"/referrers/{Reference}",
    };

    /// <summary>Reads a request's path.</summary>
    /// <param name="path">From the root, decoded.</param>
    /// <returns>The path, or why there is none.</returns>
    public static (RegistryPath? Path, RegistryRefusal? Refusal) Read(string path)
    {
        if (!path.StartsWith(Root, StringComparison.Ordinal) || Split(path) is not { } found)
            return Refuse(404, RegistryCodes.Unsupported, "There is nothing at this address. Expected /v2/REPOSITORY/manifests/, blobs/, tags/list or referrers/.");
        var (resource, repository, reference) = found;
        if (path.Length > MaxLength || !RepositoryNames.IsName(repository))
            return Refuse(400, RegistryCodes.NameInvalid, $"'{Shortened(repository)}' is no name of a repository. Expected {RepositoryNames.Expected}.");
        if (repository.IndexOf('/', StringComparison.Ordinal) is var slash && (slash < 0 || !Tenants.IsName(repository[..slash])))
            return Refuse(404, RegistryCodes.NameUnknown, $"There is no repository '{repository}'. Expected TENANT/NAME.");
        if (resource is RegistryResource.Blob or RegistryResource.Referrers && !Digests.IsDigest(reference))
            return Refuse(400, RegistryCodes.DigestInvalid, InvalidDigest(reference));
        if (resource is RegistryResource.Manifest && reference.Contains(':', StringComparison.Ordinal) && !Digests.IsDigest(reference))
            return Refuse(400, RegistryCodes.DigestInvalid, InvalidDigest(reference));
        if (resource is RegistryResource.Manifest && !Digests.IsDigest(reference) && !RepositoryNames.IsTag(reference))
            return Refuse(400, RegistryCodes.ManifestInvalid, $"'{Shortened(reference)}' is no tag. Expected {RepositoryNames.ExpectedTag}.");
        if (resource is RegistryResource.Upload && !Guid.TryParseExact(reference, "N", out _))
            return Refuse(404, RegistryCodes.BlobUploadUnknown, $"There is no upload '{Shortened(reference)}'.");
        return (new RegistryPath(resource, repository, reference), null);
    }

    /// <summary>What to say of a text that is no digest.</summary>
    public static string InvalidDigest(string? got) => $"'{Shortened(got ?? "")}' is no digest. Expected sha256: and 64 lower-case hexadecimal digits.";

    // Names may hold words of the interface, so a path is read from its end.
    private static (RegistryResource Resource, string Repository, string Reference)? Split(string path)
    {
        var text = path[Root.Length..];
        if (Before(text, $"{UploadsEnd}/") is { } uploads)
            return (RegistryResource.Uploads, uploads, "");
        if (Before(text, UploadsEnd) is { } begin)
            return (RegistryResource.Uploads, begin, "");
        if (Before(text, "/tags/list") is { } tags)
            return (RegistryResource.Tags, tags, "");
        var (head, last) = Cut(text);
        if (last.Length == 0)
            return null;
        if (Before(head, UploadsEnd) is { } upload)
            return (RegistryResource.Upload, upload, last);
        if (Before(head, "/blobs") is { } blob)
            return (RegistryResource.Blob, blob, last);
        if (Before(head, "/manifests") is { } manifest)
            return (RegistryResource.Manifest, manifest, last);
        return Before(head, "/referrers") is { } referrers ? (RegistryResource.Referrers, referrers, last) : null;
    }

    private static string? Before(string text, string end) => text.Length > end.Length && text.EndsWith(end, StringComparison.Ordinal) ? text[..^end.Length] : null;

    private static (string Head, string Last) Cut(string text) => text.LastIndexOf('/') is var slash and >= 0 ? (text[..slash], text[(slash + 1)..]) : ("", text);

    private static (RegistryPath? Path, RegistryRefusal? Refusal) Refuse(int status, string code, string message) => (null, new RegistryRefusal(status, code, message));

    private static string Shortened(string text) => text.Length <= 100 ? text : text[..100] + "...";
}
