using System.Globalization;

namespace TinyMLaaS.Engine.Graphs;

/// <summary>An extent of a value's shape: a number, a symbol such as <c>batch</c>, or not known.</summary>
public readonly record struct Dimension(long? Value, string? Symbol)
{
    /// <summary>An extent nothing is known of.</summary>
    public static Dimension Unknown => default;

    /// <summary>A known extent.</summary>
    public static implicit operator Dimension(long value) => new(value, null);

    /// <summary>A symbolic extent.</summary>
    public static implicit operator Dimension(string symbol) => new(null, symbol);

    /// <inheritdoc/>
    public override string ToString() => Value?.ToString(CultureInfo.InvariantCulture) ?? Symbol ?? "?";
}
