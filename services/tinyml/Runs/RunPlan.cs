using System.Text.Json.Nodes;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>A run to be made: what the command line asked for, checked as far as this machine can.</summary>
internal sealed record RunPlan
{
    public required string ModelPath { get; init; }

    public required JsonObject Document { get; init; }

    /// <summary>Paths of datasets by the names that the document uses.</summary>
    public required IReadOnlyDictionary<string, string> Datasets { get; init; }

    public required bool Cache { get; init; }

    public required string OutputFolder { get; init; }

    /// <summary>The model's name: its file's, without what a name may not hold.</summary>
    public string ModelName
    {
        get
        {
            var name = new string([.. Path.GetFileNameWithoutExtension(ModelPath).Select(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' ? c : '-')]).Trim('.', '-', '_');
            return name.Length == 0 ? "model" : name[..Math.Min(name.Length, 100)];
        }
    }
}
