using System.ComponentModel;

namespace TinyMLaaS.Engine.Transformers.Bundle;

/// <summary>Options of <c>installer/bundle</c>.</summary>
public sealed record BundleOptions : IValidatedOptions
{
    private const int LongestName = 64;

    /// <summary>Name in the manifest and of the file: 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first. By default the model's name.</summary>
    [Description("Name in the manifest and of the file: 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first. By default the model's name.")]
    public string? Name { get; init; }

    /// <inheritdoc/>
    public IEnumerable<string> Validate()
    {
        if (Name is not null && (Name.Length is 0 or > LongestName || Fit(Name) != Name))
            yield return $"Option 'name': got '{Name}', expected 1 to {LongestName} letters, digits, dots, dashes and underscores, a letter or digit first.";
    }

    /// <summary>The nearest name that is one.</summary>
    internal static string Fit(string name)
    {
        var fit = string.Concat(name.Take(LongestName).Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' ? c : '-')).TrimStart('.', '-', '_');
        return fit.Length > 0 ? fit : "model";
    }
}
