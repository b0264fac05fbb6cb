namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>What the dispatcher wants of a run: a slot of a pool is free, offer it a step.</summary>
/// <param name="RunId">The run.</param>
/// <param name="Step">Position of the step.</param>
/// <param name="Queue">The pool's queue.</param>
/// <param name="Version">The version of the step's transformer that the pool has.</param>
internal sealed record OfferStep(Guid RunId, int Step, string Queue, string Version);
