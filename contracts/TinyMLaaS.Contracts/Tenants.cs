using System.Buffers;

namespace TinyMLaaS.Contracts;

/// <summary>Who owns models, datasets, sites and runs.</summary>
public static class Tenants
{
    /// <summary>The tenant of requests without a key, which a server takes from its own machine alone.</summary>
    public const string Default = "default";

    /// <summary>What <see cref="IsName"/> takes, for messages.</summary>
    public const string Expected = "1 to 63 lower-case letters, digits and hyphens";

    private const int MaxLength = 63;
    private static readonly SearchValues<char> Allowed = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-");

    /// <summary>True for 1 to 63 lower-case letters, digits and hyphens: a tenant's name is also the name of a folder.</summary>
    public static bool IsName(string? text) =>
        text is { Length: > 0 and <= MaxLength }
        && text.AsSpan().IndexOfAnyExcept(Allowed) < 0;
}
