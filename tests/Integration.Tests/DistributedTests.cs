using System.Net;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Containers;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests;

/// <summary>The services as processes of their own give what one process gives.</summary>
public sealed class DistributedTests(ServersInUse use) : IClassFixture<ServersInUse>
{
    [Fact]
    public async Task The_demo_gives_the_same_digests_over_separate_processes_as_in_one()
    {
        using var folder = new EndToEnd.Tests.TemporaryFolder();
        await using var stack = await StartAsync("compiler,installer");
        foreach (var worker in (string[])["compiler", "installer"])
            await stack.StartServiceAsync(worker, "");
        await stack.ReadyAsync();

        var apart = (await TinymlCommand.RunAsync(Stack.Cancellation, "demo", "--json", "--server", stack.Url.ToString(), "--out", folder.In("apart"))).Expect(0);
        var together = (await TinymlCommand.RunAsync(Stack.Cancellation, "demo", "--json", "--home", folder.Home, "--out", folder.In("together"))).Expect(0);

        Assert.Equal(Digests(together), Digests(apart));
        Assert.Equal(7, Digests(apart).Length);
        Assert.All(apart.Json.GetProperty("steps").EnumerateArray(), step => Assert.Equal("succeeded", step.GetProperty("state").GetString()));
    }

    [Fact]
    public async Task An_image_is_the_same_file_over_separate_processes_as_from_one()
    {
        using var apart = new EndToEnd.Tests.TemporaryFolder();
        using var together = new EndToEnd.Tests.TemporaryFolder();
        await using var stack = await StartAsync("compiler,installer");
        foreach (var worker in (string[])["compiler", "installer"])
            await stack.StartServiceAsync(worker, "");
        await stack.ReadyAsync();

        var digest = (await ContainerImage.MakeAsync(apart, "--server", stack.Url.ToString())).GetProperty("digest").GetString();

        Assert.Equal((await ContainerImage.MakeAsync(together)).GetProperty("digest").GetString(), digest);
    }

    public static TheoryData<string, string, string, double> Tasks => SharedTask.All;

    [Theory]
    [MemberData(nameof(Tasks))]
    public async Task A_quantized_network_is_as_good_and_runs_on_integers_and_is_the_one_of_one_process(string task, string input, string layout, double reference)
    {
        using var apart = new EndToEnd.Tests.TemporaryFolder();
        using var together = new EndToEnd.Tests.TemporaryFolder();
        await using var stack = await StartAsync("compiler,installer");
        foreach (var worker in (string[])["compiler", "installer"])
            await stack.StartServiceAsync(worker, "");
        await stack.ReadyAsync();

        var digest = await SharedTask.RunAsync(apart, task, input, layout, reference, Stack.Cancellation, "--server", stack.Url.ToString());

        Assert.Equal(await SharedTask.RunAsync(together, task, input, layout, reference, Stack.Cancellation, "--home", together.Home), digest);
    }

    [Fact]
    public async Task A_step_whose_worker_is_missing_waits_and_says_why_and_goes_on_when_it_comes()
    {
        await using var stack = await StartAsync("");
        await stack.StartServiceAsync("compiler", "");
        await stack.ReadyAsync();
        var model = await stack.UploadAsync(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation));
        await Stack.UntilAsync(
            async () =>
            {
                using var answer = await stack.SubmitAsync(model, "probe", "compiler/fuse");
                return answer.StatusCode == HttpStatusCode.Accepted;
            },
            () => Task.FromResult("the catalogue stays empty" + stack.Outputs()));
        await stack.KillAsync("compiler");

        var run = await stack.RunAsync(model, "compiler/fuse");
        await Stack.UntilAsync(
            async () => (await stack.GetAsync(run))?.Steps[0] is { State: StepStates.Pending, WaitingFor: "no compiler worker is announced" },
            async () => $"{(await stack.GetAsync(run))?.Steps[0]}{stack.Outputs()}");

        await stack.StartServiceAsync("compiler", "");
        Assert.Equal(RunStates.Succeeded, (await stack.EndedAsync([run]))[0].State);
    }

    [Theory]
    [InlineData("orchestrator")]
    [InlineData("artifact-store")]
    public async Task A_service_that_is_missing_is_an_error_that_names_it(string service)
    {
        using var folder = new EndToEnd.Tests.TemporaryFolder();
        await using var stack = await StartAsync("", without: service);

        var result = (await TinymlCommand.RunAsync(Stack.Cancellation, "demo", "--json", "--server", stack.Url.ToString(), "--out", folder.Output)).Expect(4);

        Assert.Contains($"'{service}' is missing", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_is_missing_is_an_error_that_names_its_address()
    {
        using var folder = new EndToEnd.Tests.TemporaryFolder();
        var address = $"http://127.0.0.1:{ServerProcess.FreePort()}/";

        var result = (await TinymlCommand.RunAsync(Stack.Cancellation, "demo", "--json", "--server", address, "--out", folder.Output)).Expect(4);

        Assert.Contains(address.TrimEnd('/'), result.Error, StringComparison.Ordinal);
    }

    private async Task<Stack> StartAsync(string expected, string? without = null) =>
        await Stack.StartAsync(await use.Servers.NewVirtualHostAsync(), await use.Servers.NewDatabaseAsync(), expected, without);

    private static string[] Digests(TinymlResult result) => [.. result.Json.GetProperty("outputs").EnumerateArray().Select(o => o.GetProperty("digest").GetString()!)];
}
