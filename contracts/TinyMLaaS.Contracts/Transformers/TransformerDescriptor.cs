using System.Text.Json;

namespace TinyMLaaS.Contracts.Transformers;

/// <summary>A transformer as data: all that the control plane knows of it.</summary>
public sealed record TransformerDescriptor
{
    /// <summary><c>&lt;worker&gt;/&lt;name&gt;</c>, e.g. <c>compiler/quantize</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Changes whenever the same input and options could give another output.</summary>
    public required string Version { get; init; }

    /// <summary>One sentence.</summary>
    public required string Summary { get; init; }

    /// <summary>Kinds of artifact it takes.</summary>
    public required IReadOnlyList<string> Accepts { get; init; }

    /// <summary>Kind of artifact it makes; <c>report</c> alone for an evaluation.</summary>
    public required string Produces { get; init; }

    /// <summary>Roles of datasets it takes; the value says whether the role is required.</summary>
    public IReadOnlyDictionary<string, bool> Datasets { get; init; } = new Dictionary<string, bool>();

    /// <summary>JSON schema of the options: an object with kebab-case properties, each with type, range, default and description.</summary>
    public required JsonElement Options { get; init; }

    /// <summary>False for what the system runs by itself and no pipeline names, e.g. <c>compiler/evaluate</c>.</summary>
    public bool Listed { get; init; } = true;
}
