using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi;

internal static class Program
{
    private static Task<int> Main(string[] arguments) => ServiceProcess.RunAsync(new PipelineApiModule(), arguments);
}
