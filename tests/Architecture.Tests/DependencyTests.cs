namespace TinyMLaaS.Architecture.Tests;

public sealed class DependencyTests
{
    private static readonly IReadOnlyList<ProjectFile> Projects = ProjectFile.ReadAll();

    [Fact]
    public void Dependencies_point_one_way() => Assert.Empty(DependencyRules.Broken(Projects));

    [Theory]
    [InlineData("contracts/TinyMLaaS.Contracts/TinyMLaaS.Contracts.csproj", "<ProjectReference Include='../TinyMLaaS.Documents/TinyMLaaS.Documents.csproj' />")]
    [InlineData("contracts/TinyMLaaS.Contracts/TinyMLaaS.Contracts.csproj", "<PackageReference Include='MassTransit' />")]
    [InlineData("contracts/TinyMLaaS.Documents/TinyMLaaS.Documents.csproj", "<PackageReference Include='Newtonsoft.Json' />")]
    [InlineData("contracts/TinyMLaaS.Reports/TinyMLaaS.Reports.csproj", "<ProjectReference Include='../TinyMLaaS.Contracts/TinyMLaaS.Contracts.csproj' />")]
    [InlineData("contracts/TinyMLaaS.Reports/TinyMLaaS.Reports.csproj", "<PackageReference Include='Razor' />")]
    [InlineData("engine/TinyMLaaS.Engine/TinyMLaaS.Engine.csproj", "<ProjectReference Include='../../contracts/TinyMLaaS.Contracts/TinyMLaaS.Contracts.csproj' />")]
    [InlineData("engine/TinyMLaaS.Engine/TinyMLaaS.Engine.csproj", "<PackageReference Include='Serilog' />")]
    [InlineData("engine/TinyMLaaS.Engine/TinyMLaaS.Engine.csproj", "<ProjectReference Include='../../services/worker-host/TinyMLaaS.WorkerHost.csproj' />")]
    [InlineData("engine/TinyMLaaS.Engine/TinyMLaaS.Engine.csproj", "<PackageReference Include='SkiaSharp' />")]
    [InlineData("engine/TinyMLaaS.Engine.OnnxRuntime/TinyMLaaS.Engine.OnnxRuntime.csproj", "<PackageReference Include='SkiaSharp' />")]
    [InlineData("engine/TinyMLaaS.Engine.Pictures/TinyMLaaS.Engine.Pictures.csproj", "<ProjectReference Include='../TinyMLaaS.Engine.OnnxRuntime/TinyMLaaS.Engine.OnnxRuntime.csproj' />")]
    [InlineData("services/pipeline-api/TinyMLaaS.PipelineApi.csproj", "<ProjectReference Include='../../engine/TinyMLaaS.Engine/TinyMLaaS.Engine.csproj' />")]
    [InlineData("services/pipeline-api/TinyMLaaS.PipelineApi.csproj", "<ProjectReference Include='../orchestrator/TinyMLaaS.Orchestrator.csproj' />")]
    [InlineData("services/orchestrator/TinyMLaaS.Orchestrator.csproj", "<ProjectReference Include='..\\worker-host\\TinyMLaaS.WorkerHost.csproj' />")]
    [InlineData("services/artifact-store/TinyMLaaS.ArtifactStore.csproj", "<ProjectReference Include='../standalone/TinyMLaaS.Standalone.csproj' />")]
    [InlineData("services/compiler/TinyMLaaS.Compiler.csproj", "<ProjectReference Include='../installer/TinyMLaaS.Installer.csproj' />")]
    [InlineData("services/compiler/TinyMLaaS.Compiler.csproj", "<ProjectReference Include='../../engine/TinyMLaaS.Engine.Torch/TinyMLaaS.Engine.Torch.csproj' />")]
    [InlineData("services/service-defaults/TinyMLaaS.ServiceDefaults.csproj", "<ProjectReference Include='../../engine/TinyMLaaS.Engine/TinyMLaaS.Engine.csproj' />")]
    [InlineData("services/persistence/TinyMLaaS.Persistence.csproj", "<ProjectReference Include='../orchestrator/TinyMLaaS.Orchestrator.csproj' />")]
    [InlineData("services/worker-host/TinyMLaaS.WorkerHost.csproj", "<ProjectReference Include='../persistence/TinyMLaaS.Persistence.csproj' />")]
    [InlineData("services/worker-host/TinyMLaaS.WorkerHost.csproj", "<ProjectReference Include='../orchestrator/TinyMLaaS.Orchestrator.csproj' />")]
    [InlineData("samples/subscribers/csharp/Subscriber.csproj", "<ProjectReference Include='../../../contracts/TinyMLaaS.Contracts/TinyMLaaS.Contracts.csproj' />")]
    [InlineData("samples/subscribers/csharp/Subscriber.csproj", "<PackageReference Include='MassTransit' />")]
    [InlineData("serving/model-server/TinyMLaaS.ModelServer.csproj", "<ProjectReference Include='../../engine/TinyMLaaS.Engine/TinyMLaaS.Engine.csproj' />")]
    [InlineData("serving/model-server/TinyMLaaS.ModelServer.csproj", "<PackageReference Include='Serilog.AspNetCore' />")]
    [InlineData("services/something-new/TinyMLaaS.SomethingNew.csproj", "")]
    [InlineData("tools/x/TinyMLaaS.X.csproj", "")]
    public void A_forbidden_reference_is_found(string project, string reference)
    {
        var planted = ProjectFile.Read(project, $"<Project><ItemGroup>{reference}</ItemGroup></Project>");

        var broken = DependencyRules.Broken([.. Projects.Where(p => p.Path != project), planted]).ToArray();

        Assert.NotEmpty(broken);
        Assert.All(broken, b => Assert.StartsWith(project + ": ", b, StringComparison.Ordinal));
    }

    [Fact]
    public void The_projects_are_found() => Assert.Contains(Projects, p => p.Path == "services/pipeline-api/TinyMLaaS.PipelineApi.csproj" && p.Projects.Contains("TinyMLaaS.ServiceDefaults"));
}
