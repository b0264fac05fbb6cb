namespace TinyMLaaS.Contracts.Accounts;

/// <summary>An API key as HTTP shows it.</summary>
public sealed record KeyResource
{
    /// <summary>Identifies it.</summary>
    public required Guid Id { get; init; }

    /// <summary>Whose key it is.</summary>
    public required string Tenant { get; init; }

    /// <summary>What it is for.</summary>
    public required string Name { get; init; }

    /// <summary>The beginning of the key, by which people recognise it.</summary>
    public required string Prefix { get; init; }

    /// <summary>What it permits.</summary>
    public required IReadOnlyList<string> Scopes { get; init; }

    /// <summary>When it was made, UTC.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>From when on it is refused, UTC.</summary>
    public required DateTimeOffset ExpiresAt { get; init; }

    /// <summary>When it was revoked, UTC; absent while it is not.</summary>
    public DateTimeOffset? RevokedAt { get; init; }

    /// <summary>When it was last used, to about five minutes, UTC; absent when never.</summary>
    public DateTimeOffset? LastUsedAt { get; init; }

    /// <summary>The key itself. Only in the answer that made it; nobody can show it again.</summary>
    public string? Key { get; init; }
}
