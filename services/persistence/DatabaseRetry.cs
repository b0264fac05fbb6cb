using MassTransit;

namespace TinyMLaaS.Persistence;

/// <summary>How an endpoint whose consumers write rows meets errors of the database that pass.</summary>
public static class DatabaseRetry
{
    /// <summary>
    /// A conflict with another writer is tried again at once, a database that is away is waited for: what would become of the message in the error queue? Ten minutes at most, since
    /// longer would meet the broker's patience. Stands before the outbox, so that each attempt has a transaction of its own.
    /// </summary>
    /// <param name="endpoint">The endpoint.</param>
    public static void UseDatabaseRetry(this IReceiveEndpointConfigurator endpoint)
    {
        endpoint.UseMessageRetry(retry =>
        {
            retry.Handle<Exception>(DatabaseErrors.IsUnavailable);
            retry.Interval(300, TimeSpan.FromSeconds(2));
        });
        endpoint.UseMessageRetry(retry =>
        {
            retry.Handle<Exception>(DatabaseErrors.IsConflict);
            retry.Exponential(8, TimeSpan.FromMilliseconds(10), TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(20));
        });
    }
}
