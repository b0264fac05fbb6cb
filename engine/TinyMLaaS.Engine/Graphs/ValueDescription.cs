namespace TinyMLaaS.Engine.Graphs;

/// <summary>An input or output of a network.</summary>
public sealed record ValueDescription
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Element type in lower case, e.g. <c>float</c>; null when it is no tensor.</summary>
    public required string? Type { get; init; }

    /// <summary>Extents: a number, a symbol such as <c>batch</c>, or null where nothing is known; null when not even the rank is.</summary>
    public required IReadOnlyList<object?>? Shape { get; init; }

    internal static ValueDescription Of(Value value, TensorType type) => new()
    {
        Name = value.Name,
        Type = type.Element == ElementType.Undefined ? null : type.Element.ToString().ToLowerInvariant(),
        Shape = type.Shape is { } shape ? [.. shape.Select(d => d.Value is { } extent ? (object)extent : d.Symbol)] : null,
    };
}
