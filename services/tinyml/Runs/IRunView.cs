using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>Shows how far a run is.</summary>
internal interface IRunView
{
    /// <summary>Calls <paramref name="follow"/> with what it is to tell each time it has seen the run.</summary>
    Task<RunResource> ShowAsync(Func<Action<RunResource>, Task<RunResource>> follow);
}
