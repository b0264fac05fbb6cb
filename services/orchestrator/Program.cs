using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator;

internal static class Program
{
    private static Task<int> Main(string[] arguments) => ServiceProcess.RunAsync(new OrchestratorModule(), arguments);
}
