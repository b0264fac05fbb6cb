using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>
/// A line that a child writes: how far it is, or how it ended, in which case nothing follows. Exactly one of the properties is set.
/// </summary>
internal sealed record ChildMessage
{
    /// <summary>How far the work is.</summary>
    public ChildProgress? Progress { get; init; }

    /// <summary>It is done.</summary>
    public ChildResult? Result { get; init; }

    /// <summary>The user's model, options or data cannot be transformed.</summary>
    public ChildRejection? Rejected { get; init; }

    /// <summary>Memory ran out where the child could still say so.</summary>
    public bool? MemoryExceeded { get; init; }

    /// <summary>An exception that nobody expected.</summary>
    public ChildError? Failed { get; init; }

    public static string Write<T>(T message) => JsonSerializer.Serialize(message, ContractJson.Options);

    public static T Read<T>(ReadOnlySpan<byte> line) => JsonSerializer.Deserialize<T>(line, ContractJson.Options) ?? throw new JsonException("The line is null.");
}

internal sealed record ChildProgress
{
    [JsonNumberHandling(JsonNumberHandling.AllowNamedFloatingPointLiterals)]
    public required double Fraction { get; init; }

    public required string Activity { get; init; }
}

internal sealed record ChildResult
{
    public string? OutputPath { get; init; }

    public required JsonObject Report { get; init; }

    [JsonNumberHandling(JsonNumberHandling.AllowNamedFloatingPointLiterals)]
    public required IReadOnlyDictionary<string, double> Metrics { get; init; }

    /// <summary>The most memory that the child held, in bytes; null where the system does not say.</summary>
    public long? PeakBytes { get; init; }
}

internal sealed record ChildRejection
{
    public required string Code { get; init; }

    public required string Message { get; init; }
}

internal sealed record ChildError
{
    /// <summary>What may be told to the user.</summary>
    public required string Message { get; init; }

    /// <summary>What belongs into the worker's own log.</summary>
    public required string Details { get; init; }
}
