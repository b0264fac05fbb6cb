namespace TinyMLaaS.Simulation.Tests.Bus;

/// <summary>A message on its way.</summary>
internal sealed record ModelMessage
{
    /// <summary>The contract record.</summary>
    public required object Content { get; init; }

    /// <summary>A queue's address; null when it is published.</summary>
    public Uri? Destination { get; init; }

    /// <summary>Of a request and of its answer.</summary>
    public Guid? Request { get; init; }

    /// <summary>Stays the same when the same message is delivered again.</summary>
    public Guid? Id { get; init; }
}
