namespace TinyMLaaS.Architecture.Tests;

/// <summary>Dependencies point one way. A rule answers with every reference that breaks it.</summary>
internal static class DependencyRules
{
    private const string Contracts = "TinyMLaaS.Contracts";
    private const string Documents = "TinyMLaaS.Documents";
    private const string Reports = "TinyMLaaS.Reports";
    private const string Engine = "TinyMLaaS.Engine";
    private const string Pictures = "TinyMLaaS.Engine.Pictures";
    private const string ServiceDefaults = "TinyMLaaS.ServiceDefaults";
    private const string Persistence = "TinyMLaaS.Persistence";
    private const string WorkerHost = "TinyMLaaS.WorkerHost";

    private static readonly string[] ControlPlane = ["pipeline-api", "orchestrator", "artifact-store", "fleet", "dashboard"];
    private static readonly string[] Workers = ["compiler", "pruner", "qat-trainer", "installer"];
    private static readonly string[] Composing = ["standalone", "tinyml"];

    // Small and pure; the engine knows no bus, database, web or logger.
    private static readonly string[] EnginePackages = ["BouncyCastle.Cryptography", "Google.Protobuf", "Grpc.Tools", "System.IO.Hashing", "System.Numerics.Tensors", "Microsoft.ML.OnnxRuntime"];

    /// <summary>Every broken rule as <c>PROJECT: what is wrong</c>.</summary>
    public static IEnumerable<string> Broken(IReadOnlyList<ProjectFile> projects) => projects.SelectMany(p => Broken(p, projects));

    private static IEnumerable<string> Broken(ProjectFile project, IReadOnlyList<ProjectFile> all) => project switch
    {
        { Area: "contracts", Name: Contracts } => Only(project, project.Projects, [], "the contracts reference no project")
            .Concat(Only(project, project.Packages, [], "the contracts reference no package")),
        { Area: "contracts", Name: Documents } => Only(project, project.Projects, [], "reading documents needs no other project")
            .Concat(Only(project, project.Packages, ["YamlDotNet"], "reading documents needs YAML alone")),
        { Area: "contracts", Name: Reports } => Only(project, project.Projects, [], "drawing a report needs no other project")
            .Concat(Only(project, project.Packages, [], "drawing a report needs no package")),
        { Area: "engine", Name: Pictures } => Only(project, project.Projects, [Engine], "decoding pictures needs the engine alone")
            .Concat(Only(project, project.Packages, ["SkiaSharp", "SkiaSharp.NativeAssets.Linux.NoDependencies"], "decoding pictures needs Skia alone")),
        { Area: "engine" } => Only(project, project.Projects, [.. Names(all, "engine"), Documents], "the engine knows no service and no message")
            .Concat(Only(project, project.Packages, EnginePackages, "the engine knows no bus, database, web or logger")),
        { Area: "services", Folder: "service-defaults" } => Only(project, project.Projects, [Contracts], "what every host uses depends on contracts alone"),
        { Area: "services", Folder: "persistence" } => Only(project, project.Projects, [Contracts, ServiceDefaults], "keeping rows depends on contracts and service-defaults alone"),
        { Area: "services", Folder: "worker-host" } => Only(project, project.Projects, [Contracts, Documents, ServiceDefaults, Engine], "the workers' loop depends on contracts, service-defaults and the engine"),
        { Area: "services" } when ControlPlane.Contains(project.Folder) =>
            Only(project, project.Projects, [Contracts, Documents, Reports, ServiceDefaults, Persistence], "the control plane knows transformers as data: it references neither the engine nor another service"),
        { Area: "services" } when Workers.Contains(project.Folder) =>
            Only(project, project.Projects, [Contracts, Documents, ServiceDefaults, WorkerHost, .. Names(all, "engine")], "a worker references worker-host and the engine, and no other service")
                .Concat(project.Folder == "qat-trainer" ? [] : project.Projects.Where(p => p == "TinyMLaaS.Engine.Torch").Select(p => $"{project.Path}: {p}: Torch enters the qat-trainer only")),
        { Area: "services" } when Composing.Contains(project.Folder) => [],
        { Area: "services" } => [$"{project.Path}: no rule says what '{project.Folder}' may reference; add it to one"],
        { Area: "serving" } => Only(project, project.Projects, [], "what is shipped to customers' machines is small and knows nothing of the control plane")
            .Concat(Only(project, project.Packages, ["BouncyCastle.Cryptography", "Microsoft.ML.OnnxRuntime"], "what is shipped holds the runtime of networks, and what checks them")),
        { Area: "tests" or "benchmarks" } => [],
        { Area: "samples" } => Only(project, project.Projects, [], "a sample is what a stranger writes, who has none of our code")
            .Concat(Only(project, project.Packages, ["RabbitMQ.Client"], "a sample needs the client of the protocol that it shows alone")),
        _ => [$"{project.Path}: no rule says what '{project.Area}' may reference; add it to one"],
    };

    private static IEnumerable<string> Only(ProjectFile project, IEnumerable<string> references, IReadOnlyList<string> allowed, string why) =>
        references.Where(r => !allowed.Contains(r)).Select(r => $"{project.Path}: {r}: {why}");

    private static IEnumerable<string> Names(IReadOnlyList<ProjectFile> all, string area) => all.Where(p => p.Area == area).Select(p => p.Name);
}
