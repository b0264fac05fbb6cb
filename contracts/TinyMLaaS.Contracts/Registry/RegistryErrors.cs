using System.Text.Json.Nodes;

namespace TinyMLaaS.Contracts.Registry;

/// <summary>A refusal under <c>/v2</c>: what the OCI distribution specification has in place of problem documents.</summary>
public sealed record RegistryErrors
{
    /// <summary>What is wrong; at least one.</summary>
    public required IReadOnlyList<RegistryError> Errors { get; init; }
}

/// <summary>One thing that is wrong.</summary>
public sealed record RegistryError
{
    /// <summary>One of <see cref="RegistryCodes"/>.</summary>
    public required string Code { get; init; }

    /// <summary>For people.</summary>
    public required string Message { get; init; }

    /// <summary>For programs, where there is more to say.</summary>
    public JsonNode? Detail { get; init; }
}

/// <summary>A refusal before it is an answer.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">One of <see cref="RegistryCodes"/>.</param>
/// <param name="Message">For people.</param>
public sealed record RegistryRefusal(int Status, string Code, string Message);
