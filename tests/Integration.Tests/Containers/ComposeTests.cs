using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Containers;

/// <summary>The stack of docker-compose.yml on the real Docker Engine.</summary>
public sealed class ComposeTests(ComposeStack stack) : IClassFixture<ComposeStack>
{
    [Fact]
    public async Task The_demo_gives_what_one_process_gives_and_no_secret_is_in_a_log()
    {
        using var folder = new TemporaryFolder();

        var apart = (await TinymlCommand.RunAsync(Stack.Cancellation, "demo", "--json", "--server", stack.Project.Url, "--key", stack.Project.Key, "--out", folder.In("apart"))).Expect(0);
        var together = (await TinymlCommand.RunAsync(Stack.Cancellation, "demo", "--json", "--home", folder.Home, "--out", folder.In("together"))).Expect(0);

        Assert.Equal(Digests(together), Digests(apart));
        Assert.Equal(7, Digests(apart).Length);
        var log = await stack.Project.ComposeAsync("logs", "--no-color");
        Assert.Contains("\"@t\"", log, StringComparison.Ordinal);
        foreach (var secret in stack.Project.Secrets())
            Assert.DoesNotContain(secret, log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_is_cancelled_through_the_published_port()
    {
        var run = await stack.SubmitAsync(await stack.UploadAsync(), "compiler/fuse", "compiler/quantize-dynamic", "installer/bundle");

        using var answer = await stack.Http.PostAsync($"v1/runs/{run}/cancel", null, Stack.Cancellation);

        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync(Stack.Cancellation));
        var ended = await stack.EndedAsync(run);
        Assert.Equal(RunStates.Cancelled, ended.State);
        Assert.DoesNotContain(ended.Steps, s => s.State is StepStates.Running or StepStates.Pending);
    }

    [Fact]
    public async Task Whichever_container_starts_again_while_runs_are_active_nothing_is_lost()
    {
        var model = await stack.UploadAsync();
        var digests = new HashSet<string>();
        foreach (var service in ComposeProject.Lasting)
        {
            var before = (string)(await stack.Project.InspectAsync(service))["State"]!["StartedAt"]!;
            var runs = new List<Guid>();
            for (var i = 0; i < 3; i++)
                runs.Add(await stack.SubmitAsync(model, "compiler/fuse", "compiler/quantize-dynamic", "installer/bundle"));

            await stack.Project.ComposeAsync("restart", "--timeout", "30", service);

            Assert.NotEqual(before, (string)(await stack.Project.InspectAsync(service))["State"]!["StartedAt"]!);
            foreach (var run in runs)
            {
                var ended = await stack.EndedAsync(run);
                Assert.True(ended.State == RunStates.Succeeded, $"{service} was started again: {JsonSerializer.Serialize(ended, ContractJson.Options)}{await stack.Project.LogsAsync()}");
                digests.Add(Assert.Single(ended.Steps[1].Outputs).Digest);
            }
        }
        Assert.Single(digests);
        await stack.Project.HealthyAsync();
    }

    [Fact]
    public async Task A_container_may_do_no_more_than_it_needs()
    {
        foreach (var service in ComposeProject.Lasting)
        {
            var inspected = await stack.Project.InspectAsync(service);
            Assert.Matches("^[1-9][0-9]*:[1-9][0-9]*$", (string)inspected["Config"]!["User"]!);
            var host = inspected["HostConfig"]!;
            Assert.True((bool)host["ReadonlyRootfs"]!, service);
            Assert.Equal(["ALL"], host["CapDrop"]!.AsArray().Select(c => (string)c!));
            Assert.Equal(["no-new-privileges:true"], host["SecurityOpt"]!.AsArray().Select(c => (string)c!));
            Assert.True((long)host["Memory"]! > 0 && (long)host["PidsLimit"]! > 0, service);
            Assert.Equal("unless-stopped", (string)host["RestartPolicy"]!["Name"]!);
            // One published port, and only what faces clients is in a network with a way out.
            Assert.Equal(service == "pipeline-api" ? 1 : 0, (inspected["NetworkSettings"]!["Ports"] as JsonObject ?? []).Count(p => p.Value is JsonArray { Count: > 0 }));
            Assert.Equal(service == "pipeline-api" ? 2 : 1, inspected["NetworkSettings"]!["Networks"]!.AsObject().Count);
        }
        using var refused = await new HttpClient { BaseAddress = new Uri(stack.Project.Url) }.GetAsync("v1/runs", Stack.Cancellation);
        Assert.Equal(System.Net.HttpStatusCode.Unauthorized, refused.StatusCode);
    }

    private static string[] Digests(TinymlResult result) => [.. result.Json.GetProperty("outputs").EnumerateArray().Select(o => o.GetProperty("digest").GetString()!)];
}
