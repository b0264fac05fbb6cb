using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.WorkerHost;

namespace TinyMLaaS.Compiler;

/// <summary>A network that ONNX Runtime does not load is no output.</summary>
internal sealed class OnnxLoadCheck : IArtifactCheck
{
    public string Kind => ArtifactKinds.Onnx;

    public string Code => "output-does-not-load";

    public string? WhyNot(string path) => LoadCheck.WhyNot(File.ReadAllBytes(path));
}
