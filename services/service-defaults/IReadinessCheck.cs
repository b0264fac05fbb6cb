using TinyMLaaS.Contracts.Health;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Something a service cannot work without.</summary>
public interface IReadinessCheck
{
    /// <summary>The service whose readiness it is part of.</summary>
    string Service { get; }

    /// <summary>What is missing now; empty when all is well. Bounded in time by the caller.</summary>
    Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation);

    /// <summary>What has never been there since the process started; empty once it has, whatever becomes of it later.</summary>
    IReadOnlyList<MissingService> NotBegun() => [];
}
