using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Services.Tests.Orchestrator.Events;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Events of standalone: the same interface without a broker.</summary>
public sealed class EventTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_stream_goes_on_after_the_server_was_killed_and_gets_every_event_once()
    {
        using var folder = new TemporaryFolder();
        var port = ServeProcess.FreePort();
        var killed = await ServeProcess.StartAsync(folder.Home, port, Cancellation);
        using var http = new HttpClient { BaseAddress = new Uri(killed.Url) };
        var command = TinymlCommand.RunAsync(Cancellation, [.. Samples.Run(folder.Output), "--server", killed.Url]);
        var seen = new List<CloudEvent>();
        await using (var stream = await EventStream.OpenAsync(http, "v1/events"))
            seen.AddRange(await stream.ReadAsync(5));
        await killed.DisposeAsync();

        await using var restarted = await ServeProcess.StartAsync(folder.Home, port, Cancellation);
        await using var again = await EventStream.OpenAsync(http, "v1/events", seen[^1].Position);
        while (EventTypes.Find(seen[^1].Type) != "run.succeeded")
            seen.AddRange(await again.ReadAsync(1));
        (await command).Expect(0);

        Assert.Equal(Enumerable.Range(1, seen.Count).Select(i => $"{i}"), seen.Select(e => e.Position));
        Assert.Equal(Enumerable.Range(1, seen.Count).Select(i => CloudEvent.WriteSequence(i)), seen.Select(e => e.Sequence));
        // The attempt of the killed server is one of them.
        Assert.Contains(seen, e => EventTypes.Find(e.Type) == "step.lost");
    }
}
