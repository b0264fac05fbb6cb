using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Benchmarks.Orchestration;

/// <summary>A client as any other: it knows the public HTTP interface alone.</summary>
internal sealed class Client(Uri url) : IDisposable
{
    private const int ModelBytes = 1000;
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    private readonly HttpClient _http = new() { BaseAddress = url, Timeout = Limit };
    private long _models;

    /// <summary>Waits until nothing is missing and the transformers are known.</summary>
    public async Task ReadyAsync(CancellationToken cancellation)
    {
        using var limit = Limited(cancellation);
        while (true)
        {
            try
            {
                var ready = await ReadAsync<Readiness>("health/ready", limit.Token);
                var known = await _http.GetStringAsync("v1/transformers", limit.Token);
                if (ready.Missing.Count == 0 && known.Contains("noop/copy", StringComparison.Ordinal))
                    return;
            }
            catch (HttpRequestException)
            {
                // Not there yet.
            }
            await Task.Delay(Poll, limit.Token);
        }
    }

    /// <summary>Uploads a model of 1 kB that nobody had before; its digest.</summary>
    public async Task<string> UploadAsync(CancellationToken cancellation)
    {
        var model = new byte[ModelBytes];
        BinaryPrimitives.WriteInt64LittleEndian(model.AsSpan(8), Interlocked.Increment(ref _models));
        using var answer = await _http.PostAsync("v1/artifacts?kind=onnx", new ByteArrayContent(model), cancellation);
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, cancellation))!.Digest;
    }

    /// <summary>Submits a run that does not use the cache; the run, and the milliseconds until it was accepted.</summary>
    public async Task<(Guid Run, double Milliseconds)> SubmitAsync(string model, IEnumerable<string> uses, CancellationToken cancellation)
    {
        var body = JsonSerializer.Serialize(new { model, cache = false, pipeline = new { steps = uses.Select(u => new { uses = u }) } });
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        var start = Stopwatch.GetTimestamp();
        using var answer = await _http.PostAsync("v1/runs", content, cancellation);
        var elapsed = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        if (!answer.IsSuccessStatusCode)
            throw new InvalidOperationException($"A run was answered {(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync(cancellation)}");
        return ((await answer.Content.ReadFromJsonAsync<RunResource>(ContractJson.Options, cancellation))!.Id, elapsed);
    }

    /// <summary>A run as it is now.</summary>
    public Task<RunResource> GetAsync(Guid run, CancellationToken cancellation) => ReadAsync<RunResource>($"v1/runs/{run}", cancellation);

    /// <summary>Waits for a run's end.</summary>
    public async Task<RunResource> EndedAsync(Guid run, CancellationToken cancellation)
    {
        using var limit = Limited(cancellation);
        while (true)
        {
            var seen = await ReadAsync<RunResource>($"v1/runs/{run}?wait=30s", limit.Token);
            if (RunStates.IsTerminal(seen.State))
                return seen;
        }
    }

    /// <summary>Looks at a run often, until it is as it should be.</summary>
    public async Task<RunResource> UntilAsync(Guid run, Func<RunResource, bool> condition, CancellationToken cancellation)
    {
        using var limit = Limited(cancellation);
        while (true)
        {
            var seen = await GetAsync(run, limit.Token);
            if (condition(seen))
                return seen;
            await Task.Delay(Poll, limit.Token);
        }
    }

    /// <summary>Asks for a run's end.</summary>
    public async Task CancelAsync(Guid run, CancellationToken cancellation)
    {
        using var answer = await _http.PostAsync($"v1/runs/{run}/cancel", null, cancellation);
        answer.EnsureSuccessStatusCode();
    }

    public void Dispose() => _http.Dispose();

    private static CancellationTokenSource Limited(CancellationToken cancellation)
    {
        var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(Limit);
        return limit;
    }

    private async Task<T> ReadAsync<T>(string path, CancellationToken cancellation)
    {
        using var answer = await _http.GetAsync(path, cancellation);
        return (await answer.Content.ReadFromJsonAsync<T>(ContractJson.Options, cancellation))!;
    }
}
