using System.Net;
using System.Text.Json.Nodes;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>F15: clients that ask for the same at once.</summary>
public sealed class IdempotencyTests(FaultServers servers) : IClassFixture<FaultServers>
{
    [Fact]
    public async Task Fifty_requests_with_one_key_make_one_run_and_another_body_is_refused()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        await stack.StartWorkersAsync(new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a")));
        await stack.ReadyAsync();
        var model = await stack.UploadAsync("network");

        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => stack.SubmitAsync(model, "one key", "tests/a")));
        // Whoever met the first one while it was being answered is told so, and asks again.
        Assert.All(answers, a => Assert.Contains(a.StatusCode, (HttpStatusCode[])[HttpStatusCode.Accepted, HttpStatusCode.Conflict]));
        using var again = await stack.SubmitAsync(model, "one key", "tests/a");
        Assert.Equal(HttpStatusCode.Accepted, again.StatusCode);
        var ids = new HashSet<Guid>();
        foreach (var accepted in answers.Where(a => a.StatusCode == HttpStatusCode.Accepted).Append(again))
            ids.Add((Guid)JsonNode.Parse(await accepted.Content.ReadAsStringAsync(Stack.Cancellation))!["id"]!);
        var run = Assert.Single(ids);

        using var other = await stack.SubmitAsync(model, "one key", "tests/a", "tests/a");
        Assert.Equal(HttpStatusCode.UnprocessableEntity, other.StatusCode);
        await stack.EndedAsync([run]);
        Assert.Equal(1L, await servers.Database.ScalarAsync(faulty.DatabaseName, "SELECT count(*) FROM orchestrator.runs"));
        await faulty.HoldAsync([run]);
        foreach (var answer in answers)
            answer.Dispose();
    }
}
