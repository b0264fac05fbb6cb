namespace TinyMLaaS.Engine.Transformers;

/// <summary>Turns one artifact into another. Deterministic: the same request gives the same bytes.</summary>
public interface ITransformer
{
    /// <summary>What the control plane knows of it.</summary>
    TransformerInfo Info { get; }

    /// <summary>Does the work. Runs on the calling thread, so callers that must stay responsive use another.</summary>
    /// <param name="request">Input, options, data and where to write.</param>
    /// <param name="progress">Told from the calling thread, at most a few times a second.</param>
    /// <param name="cancellation">Observed at least every 200 ms, long native calls included.</param>
    /// <exception cref="TransformRejectedException">Model, options or data are wrong.</exception>
    TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation);
}
