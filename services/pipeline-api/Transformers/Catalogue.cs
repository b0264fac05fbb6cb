using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Transformers;

namespace TinyMLaaS.PipelineApi.Transformers;

/// <summary>The transformers that pipelines can be checked against.</summary>
internal sealed class Catalogue(IEnumerable<TransformerDescriptor> transformers)
{
    private readonly Dictionary<string, TransformerDescriptor> _transformers = transformers.ToDictionary(t => t.Name, StringComparer.Ordinal);

    /// <summary>Names that a pipeline may use, in order.</summary>
    public IReadOnlyList<string> Listed => [.. _transformers.Values.Where(t => t.Listed).Select(t => t.Name).Order(StringComparer.Ordinal)];

    /// <summary>Worker kinds that have ever announced themselves, in order.</summary>
    public IReadOnlyList<string> Workers => [.. _transformers.Keys.Select(WorkerOf).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    /// <summary>A transformer that a pipeline may use; null when there is none of that name.</summary>
    public TransformerDescriptor? Find(string name) => _transformers.GetValueOrDefault(name) is { Listed: true } transformer ? transformer : null;

    /// <summary>True for any transformer, those included that the system runs by itself.</summary>
    public bool Has(string name) => _transformers.ContainsKey(name);

    /// <summary>What the orchestrator needs to know of the steps of a document that has been found right.</summary>
    public IReadOnlyList<ResolvedStep> Resolve(PipelineDocument document) =>
        [.. document.Steps.Select(step => _transformers[step.Uses]).Select(t => new ResolvedStep { Version = t.Version, Worker = WorkerOf(t.Name), Produces = t.Produces })];

    /// <summary>The part of a transformer's name before the slash.</summary>
    public static string WorkerOf(string transformer) => transformer.Split('/')[0];
}
