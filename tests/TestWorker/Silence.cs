using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.TestWorker;

/// <summary>Hears progress and says nothing.</summary>
internal sealed class Silence : IProgress<TransformProgress>
{
    public void Report(TransformProgress value)
    {
    }
}
