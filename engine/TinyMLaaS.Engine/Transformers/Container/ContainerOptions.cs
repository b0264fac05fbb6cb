using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.RegularExpressions;

namespace TinyMLaaS.Engine.Transformers.Container;

/// <summary>Options of <c>installer/container</c>.</summary>
public sealed partial record ContainerOptions : IValidatedOptions
{
    private const int LongestName = 128;

    /// <summary>Name of the image as registries take it: lowercase letters and digits, with dots, dashes, underscores and slashes between them, at most 128. Requests name the network by its last part. By default the model's name.</summary>
    [Description("Name of the image as registries take it: lowercase letters and digits, with dots, dashes, underscores and slashes between them, at most 128. Requests name the network by its last part. By default the model's name.")]
    public string? Name { get; init; }

    /// <summary>Tag of the image: 1 to 128 letters, digits, underscores, dots and dashes, no dot or dash first. By default the first 12 digits of the network's digest.</summary>
    [Description("Tag of the image: 1 to 128 letters, digits, underscores, dots and dashes, no dot or dash first. By default the first 12 digits of the network's digest.")]
    public string? Tag { get; init; }

    /// <summary>Port that a container listens on.</summary>
    [Range(1024, 65535), Description("Port that a container listens on.")]
    public int Port { get; init; } = 8080;

    /// <summary>Name of an image that the worker's operator offers to build on. By default a root with nothing but the libraries of C and C++.</summary>
    [Description("Name of an image that the worker's operator offers to build on. By default a root with nothing but the libraries of C and C++.")]
    public string? Base { get; init; }

    /// <summary>Kinds of machines: <c>linux/amd64</c>, <c>linux/arm64</c>. With both, the image is an index of two.</summary>
    [Description("Kinds of machines: `linux/amd64`, `linux/arm64`. With both, the image is an index of two.")]
    public IReadOnlyList<string> Platforms { get; init; } = ["linux/amd64"];

    /// <inheritdoc/>
    public IEnumerable<string> Validate()
    {
        if (Name is not null && (Name.Length > LongestName || !NamePattern().IsMatch(Name)))
            yield return $"Option 'name': got '{Name}', expected lowercase letters and digits, with dots, dashes, underscores and slashes between them, at most {LongestName}.";
        if (Tag is not null && !TagPattern().IsMatch(Tag))
            yield return $"Option 'tag': got '{Tag}', expected 1 to 128 letters, digits, underscores, dots and dashes, no dot or dash first.";
        if (Platforms.Count == 0 || Platforms.Distinct(StringComparer.Ordinal).Count() != Platforms.Count || Platforms.Except(ContainerParts.Platforms, StringComparer.Ordinal).Any())
            yield return $"Option 'platforms': got [{string.Join(", ", Platforms.Select(p => $"'{p}'"))}], expected {string.Join(" or ", ContainerParts.Platforms.Select(p => $"'{p}'"))}, each once, at least one.";
    }

    /// <summary>The nearest name that is one.</summary>
    internal static string Fit(string name)
    {
        var fit = NotOfNames().Replace(name.ToLowerInvariant(), "-");
        fit = fit[..Math.Min(fit.Length, LongestName)].Trim('-');
        return fit.Length > 0 ? fit : "model";
    }

    // OCI Distribution 1.1, "Pulling manifests".
    [GeneratedRegex(@"\A[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\z", RegexOptions.NonBacktracking)]
    private static partial Regex NamePattern();

    [GeneratedRegex(@"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z", RegexOptions.NonBacktracking)]
    private static partial Regex TagPattern();

    [GeneratedRegex("[^a-z0-9]+")]
    private static partial Regex NotOfNames();
}
