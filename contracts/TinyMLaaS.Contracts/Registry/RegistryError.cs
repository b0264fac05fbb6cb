using System.Text.Json;

namespace TinyMLaaS.Contracts.Registry;

/// <summary>One thing that is wrong.</summary>
public sealed record RegistryError
{
    /// <summary>One of <see cref="RegistryCodes"/>.</summary>
    public required string Code { get; init; }

    /// <summary>For people.</summary>
    public required string Message { get; init; }

    /// <summary>For programs, where there is more to say.</summary>
    public JsonElement? Detail { get; init; }
}
