using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Primitives;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Orchestrator.Endpoints;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator.Events;

/// <summary>
/// Events over HTTP: as a stream (server-sent events) to who accepts <c>text/event-stream</c>, else page by page with a wait. Both resume by a position, and neither keeps
/// anything for anybody: the log is there.
/// </summary>
internal static class EventEndpoints
{
    public const int MaxPageSize = 500;

    private const int DefaultPageSize = 100;
    private const string StreamType = "text/event-stream";
    private const string Newest = "newest";
    private const string LastEventId = "Last-Event-ID";

    /// <summary>A stream without news says so often that it lives; proxies cut silent connections.</summary>
    private static readonly TimeSpan CommentEvery = TimeSpan.FromSeconds(15);

    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/events", GetAsync);

    private static async Task<IResult> GetAsync(
        HttpContext http, OrchestratorDbContext database, EventSignals signals, EventReaders readers, IHostApplicationLifetime host, TimeProvider time, CancellationToken cancellation)
    {
        if (RunEndpoints.TenantOf(http.Request) is not { } tenant)
            return RunEndpoints.NoTenant();
        var request = EventRequest.Read(http.Request, tenant);
        var after = request.After ?? 0;
        if (request.After != 0)
        {
            var newest = await database.ReadCursorAsync(EventCursor.Newest, cancellation);
            if (request.After is null)
                after = newest;
            else if (after > newest)
                request.Refuse(request.AfterField, "unknown-position", $"There is no event at position {after} yet. Give the position of an event that you got, 0 for all events, or {Newest}.");
        }
        if (request.Violations.Count > 0)
            return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", errors: request.Violations);

        var streams = http.Request.GetTypedHeaders().Accept.Any(a => a.MediaType.Equals(StreamType, StringComparison.OrdinalIgnoreCase));
        if (streams || request.Wait > TimeSpan.Zero)
        {
            if (readers.TryEnter() is not { } seat)
            {
                http.Response.Headers.RetryAfter = EventReaders.RetrySeconds.ToString(CultureInfo.InvariantCulture);
                return Problems.Result(StatusCodes.Status503ServiceUnavailable, "too-many-readers", "Too many wait for events",
                    $"{readers.Seats} streams and long polls are open, the most that are served at once. Try again in {EventReaders.RetrySeconds} s; a request without wait is answered now.");
            }
            http.Response.RegisterForDispose(seat);
        }
        var reader = new Reader(database, signals, readers, host, time, request.Filter);
        return streams
            ? Stream(http, reader, after)
            : Show(http, request, await reader.PageAsync(after, request.PageSize, request.Wait, cancellation));
    }

    private static IResult Show(HttpContext http, EventRequest request, EventPage page)
    {
        var query = http.Request.Query.Where(q => q.Key != "after").Select(q => KeyValuePair.Create(q.Key, q.Value))
            .Append(KeyValuePair.Create("after", new StringValues(page.Position.ToString(CultureInfo.InvariantCulture))));
        http.Response.Headers.Link = $"<{http.Request.Path}{QueryString.Create(query)}>; rel=\"next\"";
        http.Response.Headers.CacheControl = "no-store";
        return Results.Json(page, ContractJson.Options);
    }

    private static IResult Stream(HttpContext http, Reader reader, long after)
    {
        http.Response.Headers.CacheControl = "no-store";
        return Results.Stream(body => reader.StreamAsync(body, after, http.RequestAborted), StreamType);
    }

    /// <summary>What was asked for, and all that is wrong with it.</summary>
    private sealed record EventRequest
    {
        private static readonly string[] Known = ["after", "wait", "page_size", "run", "type"];

        public required EventFilter Filter { get; init; }

        /// <summary>Null: after the newest.</summary>
        public required long? After { get; init; }

        public required string AfterField { get; init; }

        public required int PageSize { get; init; }

        public required TimeSpan Wait { get; init; }

        public required List<Violation> Violations { get; init; }

        public void Refuse(string field, string code, string message) => Violations.Add(new Violation { Field = field, Code = code, Message = message });

        public static EventRequest Read(HttpRequest request, string tenant)
        {
            var violations = new List<Violation>();
            void Refuse(string field, string code, string message) => violations.Add(new Violation { Field = field, Code = code, Message = message });
            string? Text(string name)
            {
                if (!request.Query.TryGetValue(name, out var values))
                    return null;
                return values.ToString();
            }

            // Whoever comes back has the address of the first time and the header of the last.
            var header = request.Headers[LastEventId] is [{ Length: > 0 } last] ? last : null;
            var (field, text) = header is null ? ("after", Text("after")) : (LastEventId, header);
            long? after = 0;
            if (text == Newest)
                after = null;
            else if (text is not null && !(long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var position) && (after = position) >= 0))
                Refuse(field, "bad-position", $"{field} is '{Shortened(text)}'. Expected the position of an event, which is a whole number from 0, or {Newest}.");

            var size = DefaultPageSize;
            if (Text("page_size") is { } count && (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out size) || size is < 1 or > MaxPageSize))
                Refuse("page_size", "out-of-range", $"page_size is '{Shortened(count)}'. Expected 1 to {MaxPageSize}.");
            var waitText = Text("wait");
            if (!Waiting.TryRead(waitText, out var wait))
                Refuse("wait", "out-of-range", Waiting.Refusal(Shortened(waitText!)));
            Guid? run = null;
            if (Text("run") is { } id)
            {
                if (Guid.TryParseExact(id, "D", out var parsed))
                    run = parsed;
                else
                    Refuse("run", "bad-run", $"run is '{Shortened(id)}'. Expected the id of one run.");
            }
            var types = new List<string>();
            foreach (var type in request.Query["type"].OfType<string>())
            {
                if (EventTypes.Find(type) is { } name)
                    types.Add(EventTypes.TypeOf(name));
                else
                    Refuse("type", "unknown-type", $"There is no event '{Shortened(type)}'. Expected one of {string.Join(", ", EventTypes.All.Keys)}.");
            }
            foreach (var other in request.Query.Keys.Where(k => !Known.Contains(k)))
                Refuse(Shortened(other), "unknown-parameter", $"There is no parameter '{Shortened(other)}'. Expected {string.Join(", ", Known)}.");
            return new EventRequest
            {
                Filter = new EventFilter(tenant, run, [.. types.Distinct()]), After = after, AfterField = field, PageSize = size, Wait = wait, Violations = violations,
            };
        }

        private static string Shortened(string text) => text.Length <= 100 ? text : text[..100] + "...";
    }

    /// <summary>Reads for one request.</summary>
    private sealed class Reader(
        OrchestratorDbContext database, EventSignals signals, EventReaders readers, IHostApplicationLifetime host, TimeProvider time, EventFilter filter)
    {
        /// <summary>A page as soon as it has an event, at the latest after <paramref name="wait"/>.</summary>
        public async Task<EventPage> PageAsync(long after, int size, TimeSpan wait, CancellationToken cancellation)
        {
            var start = time.GetTimestamp();
            while (true)
            {
                var change = signals.Positioned.Next;
                var page = await ReadAsync(after, size, cancellation);
                var left = wait - time.GetElapsedTime(start);
                if (page.Items.Count > 0 || left <= TimeSpan.Zero || host.ApplicationStopping.IsCancellationRequested)
                    return page;
                after = page.Position;
                await WaitAsync(change, left, cancellation);
            }
        }

        /// <summary>Writes events until the client leaves or the process ends.</summary>
        public async Task StreamAsync(Stream body, long after, CancellationToken cancellation)
        {
            // The answer begins now, not with the first event.
            await WriteAsync(body, ": this stream resumes by Last-Event-ID\n\n", cancellation);
            var wrote = time.GetTimestamp();
            var told = after;
            while (!host.ApplicationStopping.IsCancellationRequested)
            {
                var change = signals.Positioned.Next;
                EventPage page;
                try
                {
                    page = await ReadAsync(after, DefaultPageSize, cancellation);
                }
                catch (Exception e) when (DatabaseErrors.IsUnavailable(e))
                {
                    // An answer that has begun can only end: the client comes back and is told why.
                    return;
                }
                after = page.Position;
                if (page.Items.Count > 0)
                {
                    var text = new StringBuilder();
                    foreach (var item in page.Items)
                        text.Append("id: ").Append(item.Position).Append("\ndata: ").Append(JsonSerializer.Serialize(item, ContractJson.Options)).Append("\n\n");
                    await WriteAsync(body, text.ToString(), cancellation);
                    (wrote, told) = (time.GetTimestamp(), long.Parse(page.Items[^1].Position, CultureInfo.InvariantCulture));
                    if (page.Items.Count == DefaultPageSize)
                        continue;
                }
                var left = CommentEvery - time.GetElapsedTime(wrote);
                if (left <= TimeSpan.Zero)
                {
                    // An id without data is no event; it saves who comes back from reading again what was not for them.
                    await WriteAsync(body, after > told ? string.Create(CultureInfo.InvariantCulture, $": nothing new\nid: {after}\n\n") : ": nothing new\n\n", cancellation);
                    (wrote, told, left) = (time.GetTimestamp(), after, CommentEvery);
                }
                await WaitAsync(change, left, cancellation);
            }
        }

        private static async Task WriteAsync(Stream body, string text, CancellationToken cancellation)
        {
            await body.WriteAsync(Encoding.UTF8.GetBytes(text), cancellation);
            await body.FlushAsync(cancellation);
        }

        private async Task<EventPage> ReadAsync(long after, int size, CancellationToken cancellation)
        {
            using var turn = await readers.TurnAsync(cancellation);
            return await EventLog.ReadAsync(database, filter, after, size, cancellation);
        }

        // Whoever waits must not keep the process from ending.
        private async Task WaitAsync(Task change, TimeSpan limit, CancellationToken cancellation)
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, host.ApplicationStopping);
            try
            {
                await Waiting.ForAsync(change, limit, time, either.Token);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
            }
        }
    }
}
