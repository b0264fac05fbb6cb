namespace TinyMLaaS.ServiceDefaults;

/// <summary>Something outside of the process that a run with the argument <c>migrate</c> brings to this version.</summary>
public interface IMigration
{
    /// <summary>What it is, for messages.</summary>
    string Subject { get; }

    /// <summary>Brings it to this version. Doing it again changes nothing.</summary>
    Task ApplyAsync(CancellationToken cancellation);
}
