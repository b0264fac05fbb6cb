namespace TinyMLaaS.Contracts.Accounts;

/// <summary>What a key permits, within its tenant.</summary>
public static class Scopes
{
    /// <summary>Reads runs with their steps, logs, reports and events, and what runs are made of: models, datasets, pipelines, transformers.</summary>
    public const string RunsRead = "runs:read";

    /// <summary>Submits, cancels and resumes runs, and changes models, datasets and pipelines.</summary>
    public const string RunsWrite = "runs:write";

    /// <summary>Downloads artifacts.</summary>
    public const string ArtifactsRead = "artifacts:read";

    /// <summary>Stores artifacts.</summary>
    public const string ArtifactsWrite = "artifacts:write";

    /// <summary>Lists, makes and revokes keys of its tenant.</summary>
    public const string KeysAdmin = "keys:admin";

    /// <summary>Makes tenants, and keys of any tenant. For those who operate the installation.</summary>
    public const string TenantsAdmin = "tenants:admin";

    /// <summary>Every scope, in a fixed order.</summary>
    public static IReadOnlyList<string> All { get; } = [RunsRead, RunsWrite, ArtifactsRead, ArtifactsWrite, KeysAdmin, TenantsAdmin];

    /// <summary>All that concerns one tenant.</summary>
    public static IReadOnlyList<string> OfTenant { get; } = [.. All.Where(s => s != TenantsAdmin)];
}
