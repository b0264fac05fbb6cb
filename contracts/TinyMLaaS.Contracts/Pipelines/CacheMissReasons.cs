namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>Why steps do not come from the step cache.</summary>
public static class CacheMissReasons
{
    /// <summary>The run was submitted with <c>cache: false</c>.</summary>
    public const string Off = "off";

    /// <summary>It uses an on-site dataset, whose content may have changed.</summary>
    public const string NotCacheable = "not-cacheable";

    /// <summary>The tenant has no result of this transformer yet.</summary>
    public const string NothingAlike = "nothing-alike";

    /// <summary>There are results of this transformer, and none of the same step: <see cref="CacheMiss.Changed"/>.</summary>
    public const string Changed = "changed";
}
