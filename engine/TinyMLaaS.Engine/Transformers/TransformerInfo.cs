namespace TinyMLaaS.Engine.Transformers;

/// <summary>A transformer described as data.</summary>
public sealed record TransformerInfo
{
    /// <summary><c>&lt;worker&gt;/&lt;name&gt;</c>, e.g. <c>compiler/quantize</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Changes whenever the same input and options could give another output.</summary>
    public required string Version { get; init; }

    /// <summary>One sentence.</summary>
    public required string Summary { get; init; }

    /// <summary>Artifact kinds it takes.</summary>
    public required IReadOnlyList<string> Accepts { get; init; }

    /// <summary>Artifact kind it makes; <c>report</c> when the report is all there is.</summary>
    public required string Produces { get; init; }

    /// <summary>Roles of datasets it takes; the value says whether the role is required.</summary>
    public IReadOnlyDictionary<string, bool> Datasets { get; init; } = new Dictionary<string, bool>();

    /// <summary>The options record: its public init properties are the options, named in kebab-case.</summary>
    public required Type Options { get; init; }

    /// <summary>True when it compares its input with the model that the run started from (<see cref="TransformRequest.OriginalPath"/>).</summary>
    public bool ReadsOriginal { get; init; }

    /// <summary>True when it writes down what the steps before it reported (<see cref="TransformHistory.ReportPaths"/>); the others are not handed their reports.</summary>
    public bool ReadsReports { get; init; }

    /// <summary>False for what the system runs by itself and no pipeline names.</summary>
    public bool Listed { get; init; } = true;
}
