using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.WorkerHost;

namespace TinyMLaaS.TestWorker;

/// <summary>A worker whose attempts run in processes of their own and end there in every way that a process can.</summary>
internal sealed class MisbehavingModule : WorkerModule
{
    public override string Name => "tests";

    protected override bool IsIsolated => true;

    protected override IReadOnlyList<ITransformer> CreateTransformers() => [new Misbehave(), new Mutants(), new CalibrationPeak()];

    protected override IReadOnlyList<IArtifactCheck> CreateChecks() => [new RefusesBad()];

    private sealed class RefusesBad : IArtifactCheck
    {
        public string Kind => "onnx";

        public string Code => "output-refused";

        public string? WhyNot(string path) => File.ReadAllText(path) == "bad" ? "it says so itself" : null;
    }
}
