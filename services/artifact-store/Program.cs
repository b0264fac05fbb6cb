using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore;

internal static class Program
{
    private static Task<int> Main(string[] arguments) => ServiceProcess.RunAsync(new ArtifactStoreModule(), arguments);
}
