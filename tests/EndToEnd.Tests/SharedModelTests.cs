namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Real networks through the command line and one process that is everything.</summary>
public sealed class SharedModelTests
{
    public static TheoryData<string, string, string, double> Tasks => SharedTask.All;

    [Theory]
    [MemberData(nameof(Tasks))]
    public async Task A_quantized_network_is_as_good_and_runs_on_integers(string task, string input, string layout, double reference)
    {
        using var folder = new TemporaryFolder();
        await SharedTask.RunAsync(folder, task, input, layout, reference, TestContext.Current.CancellationToken, "--home", folder.Home);
    }
}
