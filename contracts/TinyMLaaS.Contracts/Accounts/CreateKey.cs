namespace TinyMLaaS.Contracts.Accounts;

/// <summary>Body of <c>POST /v1/keys</c>.</summary>
public sealed record CreateKey
{
    /// <summary>What the key is for, for people. Letters, digits, <c>.</c>, <c>_</c> and <c>-</c>, at most 100, the first a letter or digit.</summary>
    public required string Name { get; init; }

    /// <summary>What it permits: some of <see cref="Accounts.Scopes"/>, none that the caller lacks.</summary>
    public required IReadOnlyList<string> Scopes { get; init; }

    /// <summary>Days until it expires, 1 to 366; 90 unless given.</summary>
    public int? Days { get; init; }

    /// <summary>Whose key it is; the caller's own tenant unless given. Another one takes <c>tenants:admin</c>, and is made if it does not exist.</summary>
    public string? Tenant { get; init; }
}
