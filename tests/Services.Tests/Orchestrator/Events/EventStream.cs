using System.Net.Http.Headers;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Events;

namespace TinyMLaaS.Services.Tests.Orchestrator.Events;

/// <summary>A client of server-sent events, read line by line.</summary>
internal sealed class EventStream : IAsyncDisposable
{
    private readonly HttpResponseMessage _answer;
    private readonly StreamReader _lines;
    private readonly CancellationToken _end;

    private EventStream(HttpResponseMessage answer, StreamReader lines, CancellationToken end) => (_answer, _lines, _end) = (answer, lines, end);

    /// <summary>Id of the newest event.</summary>
    public string? LastId { get; private set; }

    public static Task<EventStream> OpenAsync(HttpClient http, string address, string? lastEventId = null) => FollowAsync(http, address, lastEventId, TestContext.Current.CancellationToken);

    /// <summary>The same until <paramref name="end"/>.</summary>
    public static async Task<EventStream> FollowAsync(HttpClient http, string address, string? lastEventId, CancellationToken end)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("text/event-stream"));
        if (lastEventId is not null)
            request.Headers.Add("Last-Event-ID", lastEventId);
        var answer = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, end);
        answer.EnsureSuccessStatusCode();
        Assert.Equal("text/event-stream", answer.Content.Headers.ContentType?.MediaType);
        return new EventStream(answer, new StreamReader(await answer.Content.ReadAsStreamAsync(end)), end);
    }

    /// <summary>The next line; null at the end.</summary>
    public async Task<string?> LineAsync()
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(_end);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        return await _lines.ReadLineAsync(limit.Token);
    }

    /// <summary>The next events.</summary>
    public async Task<IReadOnlyList<CloudEvent>> ReadAsync(int count)
    {
        var events = new List<CloudEvent>();
        while (events.Count < count)
        {
            var line = await LineAsync() ?? throw new EndOfStreamException($"The stream ended after {events.Count} of {count} events.");
            if (line.StartsWith("id: ", StringComparison.Ordinal))
                LastId = line["id: ".Length..];
            else if (line.StartsWith("data: ", StringComparison.Ordinal))
                events.Add(JsonSerializer.Deserialize<CloudEvent>(line["data: ".Length..], ContractJson.Options)!);
        }
        Assert.Equal(events[^1].Position, LastId);
        return events;
    }

    public ValueTask DisposeAsync()
    {
        _lines.Dispose();
        _answer.Dispose();
        return ValueTask.CompletedTask;
    }
}
