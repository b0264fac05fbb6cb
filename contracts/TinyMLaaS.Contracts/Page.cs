namespace TinyMLaaS.Contracts;

/// <summary>A part of a list. Pages do not shift when something is added while they are read.</summary>
/// <typeparam name="T">A resource.</typeparam>
public sealed record Page<T>
{
    /// <summary>At most <c>page_size</c> of them.</summary>
    public required IReadOnlyList<T> Items { get; init; }

    /// <summary>The <c>page_token</c> of the next page; absent on the last. Opaque.</summary>
    public string? NextPageToken { get; init; }
}
