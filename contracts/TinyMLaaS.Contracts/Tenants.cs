namespace TinyMLaaS.Contracts;

/// <summary>Who owns models, datasets, sites and runs.</summary>
public static class Tenants
{
    /// <summary>The tenant of every request until accounts exist.</summary>
    public const string Default = "default";
}
