namespace TinyMLaaS.ServiceDefaults;

/// <summary>HTTP headers between services. A service that faces clients removes them from what a client sent.</summary>
public static class ServiceHeaders
{
    /// <summary>Who owns what the request is about; set by pipeline-api and by workers, required by the services behind it.</summary>
    public const string Tenant = "Tiny-Tenant";

    /// <summary>What a request is for, <c>RUN/STEP/ATTEMPT</c>, where it is for one: only for the log.</summary>
    internal const string Account = "Tiny-Account";

    /// <summary>Kind of the artifact that an answer of the artifact-store carries or describes.</summary>
    public const string ArtifactKind = "Tiny-Artifact-Kind";
}
