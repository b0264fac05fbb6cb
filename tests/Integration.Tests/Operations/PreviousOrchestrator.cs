using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Integration.Tests.Operations;

/// <summary>
/// The program of the orchestrator as it was before its newest change: built from the newest commit whose sources of it differ from those that lie here, once, into the folder for temporary files.
/// </summary>
internal sealed record PreviousOrchestrator(string Commit, string Assembly)
{
    private const string Project = "services/orchestrator/TinyMLaaS.Orchestrator.csproj";
    private static readonly string[] Sources = ["services/orchestrator", "services/persistence", "services/service-defaults", "contracts"];
    private const int MostBroken = 4;
    private static readonly TimeSpan BuildLimit = TimeSpan.FromMinutes(15);

    /// <summary>Builds it. Where there is no history to build it from, it is the version that lies here, and is called so.</summary>
    /// <exception cref="InvalidOperationException">What the history has cannot be built.</exception>
    public static async Task<PreviousOrchestrator> BuildAsync()
    {
        for (var back = 0; ; back++)
        {
            string commit;
            try
            {
                commit = await FindAsync(back);
            }
            catch (InvalidOperationException missing)
            {
                return new PreviousOrchestrator($"none, so this version stands for it: {missing.Message}", Path.Combine(AppContext.BaseDirectory, "TinyMLaaS.Orchestrator.dll"));
            }
            try
            {
                return await BuildAsync(commit);
            }
            catch (InvalidOperationException error) when (back < MostBroken)
            {
                Console.WriteLine($"commit {commit} does not build, so the one before is taken: {error.Message.Split('\n')[0]}");
            }
        }
    }

    private static async Task<PreviousOrchestrator> BuildAsync(string commit)
    {
        var folder = Path.Combine(Path.GetTempPath(), $"tinymlaas-orchestrator-{commit}");
        var previous = new PreviousOrchestrator(commit, Path.Combine(folder, "TinyMLaaS.Orchestrator.dll"));
        if (File.Exists(previous.Assembly))
            return previous;
        var work = Directory.CreateTempSubdirectory("tinymlaas-previous-").FullName;
        try
        {
            var archive = Path.Combine(work, "sources.tar");
            await GitAsync("archive", "--format=tar", $"--output={archive}", commit);
            var sources = Directory.CreateDirectory(Path.Combine(work, "sources")).FullName;
            await ServerProcess.RunAsync("tar", ["-xf", archive, "-C", sources]);
            var built = Path.Combine(work, "built");
            await ServerProcess.RunAsync(
                "dotnet",
                ["publish", Path.Combine(sources, Project), "--configuration", "Release", "--output", built, "--nologo", "--verbosity", "quiet",
                    "-p:RunAnalyzers=false", "-p:NuGetAudit=false", "-p:RestoreLockedMode=true", "-nodeReuse:false"],
                new Dictionary<string, string> { ["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1", ["UseSharedCompilation"] = "false" },
                patience: BuildLimit);
            // Under its name it is whole, whoever else builds it at the same time.
            if (!Directory.Exists(folder))
                Directory.Move(built, folder);
            return previous;
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    // The version before the newest change; or before so many changes more.
    private static async Task<string> FindAsync(int back)
    {
        var changed = await GitAsync(["status", "--porcelain", "--", .. Sources]);
        if (changed.Length > 0 && back-- == 0)
            return await GitAsync("rev-parse", "HEAD");
        var newest = await GitAsync(["rev-list", "--max-count=1", $"--skip={back}", "HEAD", "--", .. Sources]);
        try
        {
            return await GitAsync("rev-parse", "--verify", "--quiet", $"{newest}^{{commit}}~1");
        }
        catch (InvalidOperationException missing)
        {
            var shallow = await GitAsync("rev-parse", "--is-shallow-repository") == "true";
            throw new InvalidOperationException(
                $"The orchestrator before its newest change cannot be built: of {string.Join(", ", Sources)} the history here has no version older than commit {newest}. "
                + (shallow ? "The clone is shallow. Fetch the rest of its history: git fetch --unshallow" : "Clone the repository with its history."),
                missing);
        }
    }

    private static async Task<string> GitAsync(params string[] arguments) =>
        (await ServerProcess.RunAsync("git", ["-c", "safe.directory=*", "-C", Repository.Path("."), .. arguments])).Trim();
}
