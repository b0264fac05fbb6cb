namespace TinyMLaaS.Contracts.Registry;

/// <summary>What a path under <c>/v2</c> is about.</summary>
public enum RegistryResource
{
    /// <summary>A manifest, by tag or digest.</summary>
    Manifest,

    /// <summary>A blob, by digest.</summary>
    Blob,

    /// <summary>Where uploads begin.</summary>
    Uploads,

    /// <summary>An upload that was begun.</summary>
    Upload,

    /// <summary>The tags of a repository.</summary>
    Tags,

    /// <summary>The manifests that name one as their subject.</summary>
    Referrers,
}
