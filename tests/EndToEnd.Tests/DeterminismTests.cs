namespace TinyMLaaS.EndToEnd.Tests;

public sealed class DeterminismTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Two_processes_with_homes_of_their_own_make_the_same_bytes()
    {
        using var one = new TemporaryFolder();
        using var other = new TemporaryFolder();

        var first = (await TinymlCommand.RunProcessAsync(new Dictionary<string, string>(), Cancellation, [.. Samples.Run(one.Output), "--home", one.Home])).Expect(0);
        // Another number of threads, another time zone and another culture: none of them may show.
        var environment = new Dictionary<string, string> { ["DOTNET_PROCESSOR_COUNT"] = "1", ["TZ"] = "Asia/Kathmandu", ["LC_ALL"] = "tr_TR.UTF-8" };
        var second = (await TinymlCommand.RunProcessAsync(environment, Cancellation, [.. Samples.Run(other.Output), "--home", other.Home])).Expect(0);

        Assert.Equal(Digests(first), Digests(second));
        Assert.Equal(7, Digests(first).Length);
    }

    private static string[] Digests(TinymlResult result) =>
        [.. result.Json.GetProperty("outputs").EnumerateArray().Select(o => $"{Path.GetFileName(o.GetProperty("path").GetString())} {o.GetProperty("digest").GetString()}")];
}
