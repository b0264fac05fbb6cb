using System.Net;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Requests;

/// <summary>
/// Passes requests on to a service behind this one and its answers back, streaming both ways. Only the headers below cross; the
/// tenant is always the caller's.
/// </summary>
internal abstract class Upstream(HttpClient http, string service)
{
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan ReferencesLimit = TimeSpan.FromMinutes(1);
    // Must fit into the five seconds of a whole readiness check.
    private static readonly TimeSpan ReadinessLimit = TimeSpan.FromSeconds(2);

    private static readonly string[] RequestHeaders =
        ["Accept", "Digest", "If-Match", "If-None-Match", "If-Range", "Last-Event-ID", "Range", "Tiny-Digest"];

    private static readonly string[] AnswerHeaders =
        [
            "Accept-Ranges", "Allow", "Cache-Control", "Content-Length", "Content-Range", "Content-Type", "Docker-Content-Digest", "Docker-Upload-UUID", "ETag", "Link", "Location", "OCI-Filters-Applied", "OCI-Subject",
            "Range", "Retry-After", ServiceHeaders.ArtifactKind, "X-Content-Type-Options",
        ];

    /// <summary>The service's name.</summary>
    public string Service => service;

    /// <summary>Passes the request on to <paramref name="path"/> and the answer back.</summary>
    /// <param name="context">The request; its body goes along if it is a POST, PUT or PATCH.</param>
    /// <param name="path">Path and query at the service.</param>
    /// <param name="answerLimit">How long the answer may take to begin; null when the body decides.</param>
    /// <param name="unavailable">What to say when the service is not there, where a problem is not what the client expects.</param>
    public async Task<IResult> PassAsync(HttpContext context, string path, TimeSpan? answerLimit, IResult? unavailable = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(context.Request.Method), path);
        foreach (var name in RequestHeaders)
        {
            if (context.Request.Headers.TryGetValue(name, out var values))
                request.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
        }
        if (HttpMethods.IsPost(context.Request.Method) || HttpMethods.IsPut(context.Request.Method) || HttpMethods.IsPatch(context.Request.Method))
        {
            // A refusal must come back before the bytes are sent, not as a broken connection in the middle of them.
            request.Headers.ExpectContinue = true;
            request.Content = new StreamContent(context.Request.Body);
            request.Content.Headers.ContentLength = context.Request.ContentLength;
            if (context.Request.Headers.ContentRange.Count > 0)
                request.Content.Headers.TryAddWithoutValidation("Content-Range", (IEnumerable<string?>)context.Request.Headers.ContentRange);
            if (context.Request.Headers.ContentType.Count > 0)
                request.Content.Headers.TryAddWithoutValidation("Content-Type", (IEnumerable<string?>)context.Request.Headers.ContentType);
        }
        var response = await SendAsync(request, Caller.Of(context).Tenant, answerLimit, context.RequestAborted);
        return response is null ? unavailable ?? Unavailable("it does not answer") : new Passed(response);
    }

    /// <summary>Reads a resource of a tenant, or of none; absent when there is none.</summary>
    /// <exception cref="ServiceUnavailableException">The service does not answer as it should.</exception>
    public async Task<T?> ReadAsync<T>(string? tenant, string path, CancellationToken cancellation) where T : class
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        using var response = await SendAsync(request, tenant, AnswerLimit, cancellation) ?? throw new ServiceUnavailableException(service, "it does not answer");
        if (response.StatusCode == HttpStatusCode.NotFound)
            return null;
        if (!response.IsSuccessStatusCode)
            throw new ServiceUnavailableException(service, $"it answers {(int)response.StatusCode}");
        try
        {
            return await response.Content.ReadFromJsonAsync<T>(ContractJson.Options, cancellation);
        }
        catch (Exception e) when (e is JsonException or HttpRequestException or IOException)
        {
            throw new ServiceUnavailableException(service, "its answer cannot be read");
        }
    }

    /// <summary>Every artifact that the service says is referred to. A list that breaks off is an error and never a shorter list.</summary>
    /// <exception cref="ServiceUnavailableException">The service does not answer as it should.</exception>
    protected async IAsyncEnumerable<ArtifactReference> ReadReferencesAsync(string path, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        using var response = await SendAsync(request, tenant: null, ReferencesLimit, cancellation) ?? throw new ServiceUnavailableException(service, "it does not answer");
        if (!response.IsSuccessStatusCode)
            throw new ServiceUnavailableException(service, $"it answers {(int)response.StatusCode} when asked what it refers to");
        await foreach (var reference in response.Content.ReadFromJsonAsAsyncEnumerable<ArtifactReference>(ContractJson.Options, cancellation))
            yield return reference ?? throw new ServiceUnavailableException(service, "its answer cannot be read");
    }

    /// <summary>What the service's own readiness says is missing, or the service itself when it does not say.</summary>
    public async Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "health/ready");
        using var response = await SendAsync(request, tenant: null, ReadinessLimit, cancellation);
        if (response is null)
            return [new MissingService { Service = service, Reason = "it does not answer" }];
        try
        {
            var readiness = await response.Content.ReadFromJsonAsync<Readiness>(ContractJson.Options, cancellation);
            if (readiness?.Missing is { Count: > 0 } missing)
                return missing;
            if (response.IsSuccessStatusCode)
                return [];
        }
        catch (Exception e) when (e is JsonException or HttpRequestException or IOException)
        {
            // What it says cannot be read: the status says enough.
        }
        return [new MissingService { Service = service, Reason = $"it answers {(int)response.StatusCode} to /health/ready" }];
    }

    /// <summary>The answer 503 that names the service.</summary>
    public IResult Unavailable(string reason) => Unavailable(service, reason);

    /// <inheritdoc cref="Unavailable(string)"/>
    public static IResult Unavailable(string service, string reason) => Problems.Result(
        StatusCodes.Status503ServiceUnavailable, "service-unavailable", "A service that is needed does not answer",
        $"The service '{service}' is unavailable: {reason}. Try again; /health/ready says what is missing.");

    /// <summary>Sends as a tenant, or as none for what belongs to none; null when the service is not there.</summary>
    protected async Task<HttpResponseMessage?> SendAsync(HttpRequestMessage request, string? tenant, TimeSpan? answerLimit, CancellationToken cancellation)
    {
        if (tenant is not null)
            request.Headers.Add(ServiceHeaders.Tenant, tenant);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (answerLimit is { } time)
            limit.CancelAfter(time);
        HttpResponseMessage response;
        try
        {
            response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
        }
        catch (HttpRequestException) when (!cancellation.IsCancellationRequested)
        {
            return null;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return null;
        }
        if (response.StatusCode != HttpStatusCode.NotFound || response.Content.Headers.ContentType?.MediaType != Problems.MediaType)
            return response;
        // A listener without its service knows no route at all.
        if (CodeOf(await response.Content.ReadAsByteArrayAsync(cancellation)) != "no-such-route")
            return response;
        response.Dispose();
        return null;
    }

    private static string? CodeOf(byte[] problem)
    {
        try
        {
            return JsonSerializer.Deserialize<Problem>(problem, ContractJson.Options)?.Code;
        }
        catch (JsonException)
        {
            // The answer to HEAD has no body.
            return null;
        }
    }

    private sealed class Passed(HttpResponseMessage response) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            using (response)
            {
                httpContext.Response.StatusCode = (int)response.StatusCode;
                foreach (var name in AnswerHeaders)
                {
                    if (response.Headers.TryGetValues(name, out var values) || response.Content.Headers.TryGetValues(name, out values))
                        httpContext.Response.Headers[name] = new StringValues([.. values]);
                }
                if (HttpMethods.IsHead(httpContext.Request.Method) || response.StatusCode == HttpStatusCode.NotModified)
                    return;
                await using var body = await response.Content.ReadAsStreamAsync(httpContext.RequestAborted);
                var output = httpContext.Response.BodyWriter;
                int read;
                // Straight into the memory that is sent, as much as has come.
                while ((read = await body.ReadAsync(output.GetMemory(), httpContext.RequestAborted)) > 0)
                {
                    output.Advance(read);
                    // A log is followed line by line, so nothing may wait in a buffer here.
                    await output.FlushAsync(httpContext.RequestAborted);
                }
            }
        }
    }
}
