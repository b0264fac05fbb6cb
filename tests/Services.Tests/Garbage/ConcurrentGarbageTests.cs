using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Artifacts;
using TinyMLaaS.PipelineApi.Garbage;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Garbage;

/// <summary>
/// Writers, references that come and go, and collections, all at once on the real store over HTTP, against a model of what is referred to. The clock of the store goes on by ticks, and
/// waits only for whoever is about to refer to what it has just used: that is the one thing which the retention promises.
/// </summary>
public sealed class ConcurrentGarbageTests : IAsyncLifetime
{
    private const int Contents = 40;
    private const int Writers = 6;
    private const int Steps = 60;
    private const int RetentionTicks = 10;
    private const int LongestPause = 5;
    private static readonly TimeSpan Tick = TimeSpan.FromMinutes(1);

    private readonly TemporaryFolder _root = new();
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private readonly Model _model = new();
    private readonly ConcurrentDictionary<int, long> _about = new();
    private RunningServices _services = null!;
    private long _now;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() =>
        _services = await RunningServices.StartAsync([new ArtifactStoreModule(), new Clock(_time)], new Dictionary<string, string?> { ["ArtifactStore:Root"] = _root.Path });

    public async ValueTask DisposeAsync()
    {
        await _services.DisposeAsync();
        _root.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Nothing_that_is_referred_to_is_ever_removed_and_in_the_end_everything_else_is(int seed)
    {
        using var done = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var writing = Task.WhenAll(Enumerable.Range(0, Writers).Select(w => Task.Run(() => WriteAsync(w, new Random((seed * 100) + w)), Cancellation)));
        var collecting = new[] { CollectAsync(new Random(seed), done.Token), CollectAsync(new Random(-seed), done.Token) };
        var ticking = TickAsync(done.Token);
        await writing;
        await done.CancelAsync();
        await ticking;
        var removed = (await Task.WhenAll(collecting)).Sum();

        Assert.True(removed > 0, "No collection removed anything: this run says nothing.");
        _time.Advance(RetentionTicks * 2 * Tick);
        await Collection().CollectAsync(RetentionTicks * Tick, dryRun: false, Cancellation);
        for (var content = 0; content < Contents; content++)
        {
            using var answer = await SendAsync(HttpMethod.Get, Route(content));
            Assert.Equal(_model.Refers(DigestOf(content)) ? HttpStatusCode.OK : HttpStatusCode.NotFound, answer.StatusCode);
        }
    }

    private async Task WriteAsync(int writer, Random random)
    {
        var mine = new List<int>();
        for (var step = 0; step < Steps; step++)
        {
            var content = random.Next(Contents);
            switch (random.Next(4))
            {
                case 0:
                    _about[writer] = Interlocked.Read(ref _now);
                    await StoreAsync(content, random);
                    Refer(writer, content, mine);
                    break;
                case 1:
                    // What is there already can be named without being sent.
                    _about[writer] = Interlocked.Read(ref _now);
                    if (await LooksUpAsync(content))
                        Refer(writer, content, mine);
                    break;
                case 2 when mine.Count > 0:
                    var gone = mine[random.Next(mine.Count)];
                    using (await SendAsync(HttpMethod.Head, Route(gone)))
                        _model.Drop(DigestOf(gone));
                    mine.Remove(gone);
                    break;
                case 3 when mine.Count > 0:
                    await ReadAsync(mine[random.Next(mine.Count)]);
                    break;
            }
            _about.TryRemove(writer, out _);
        }
        foreach (var content in mine)
            await ReadAsync(content);
    }

    private void Refer(int writer, int content, List<int> mine)
    {
        _model.Refer(DigestOf(content));
        _about.TryRemove(writer, out _);
        mine.Add(content);
    }

    private async Task StoreAsync(int content, Random random)
    {
        var bytes = BytesOf(content);
        if (random.Next(2) == 0)
        {
            using var stored = await SendAsync(HttpMethod.Post, "/v1/artifacts?kind=onnx", new ByteArrayContent(bytes));
            Assert.True(stored.IsSuccessStatusCode, $"{stored.StatusCode}");
            return;
        }
        using var begun = await SendAsync(HttpMethod.Post, "/v1/uploads?kind=onnx");
        var upload = (await begun.Content.ReadFromJsonAsync<UploadResource>(ContractJson.Options, Cancellation))!;
        var cut = random.Next(bytes.Length);
        using var first = await SendAsync(HttpMethod.Patch, $"/v1/uploads/{upload.Id}", new ByteArrayContent(bytes, 0, cut));
        using var ended = await SendAsync(HttpMethod.Put, $"/v1/uploads/{upload.Id}?digest={DigestOf(content)}", new ByteArrayContent(bytes, cut, bytes.Length - cut));
        Assert.True(ended.IsSuccessStatusCode, $"{ended.StatusCode}");
    }

    private async Task<bool> LooksUpAsync(int content)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, Route(content)) { Headers = { { "Tiny-Tenant", "default" } } };
        request.Headers.Range = new RangeHeaderValue(0, 0);
        using var answer = await _services.Http.SendAsync(request, Cancellation);
        return answer.IsSuccessStatusCode;
    }

    private async Task ReadAsync(int content)
    {
        using var answer = await SendAsync(HttpMethod.Get, Route(content));
        Assert.True(answer.StatusCode == HttpStatusCode.OK, $"Content {content} is referred to and answers {answer.StatusCode}.");
        Assert.Equal(BytesOf(content), await answer.Content.ReadAsByteArrayAsync(Cancellation));
    }

    private async Task<int> CollectAsync(Random random, CancellationToken done)
    {
        var removed = 0;
        while (!done.IsCancellationRequested)
        {
            var dryRun = random.Next(4) == 0;
            var report = await Collection().CollectAsync(RetentionTicks * Tick, dryRun, Cancellation);
            removed += dryRun ? 0 : report.Removed;
        }
        return removed;
    }

    private async Task TickAsync(CancellationToken done)
    {
        while (!done.IsCancellationRequested)
        {
            if (_about.IsEmpty || Interlocked.Read(ref _now) - _about.Values.DefaultIfEmpty(long.MaxValue).Min() < LongestPause)
            {
                Interlocked.Increment(ref _now);
                _time.Advance(Tick);
            }
            await Task.Delay(1, CancellationToken.None);
        }
    }

    private GarbageCollection Collection() => new(new ArtifactStoreUpstream(_services.Http), [_model]);

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content, Headers = { { "Tiny-Tenant", "default" } } };
        return await _services.Http.SendAsync(request, Cancellation);
    }

    private static string Route(int content) => $"/v1/artifacts/{DigestOf(content)}";

    private static string DigestOf(int content) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(BytesOf(content)));

    private static byte[] BytesOf(int content)
    {
        var bytes = new byte[2000];
        new Random(content).NextBytes(bytes);
        return bytes;
    }

    /// <summary>What is referred to, and how often.</summary>
    private sealed class Model : IArtifactReferences
    {
        private readonly ConcurrentDictionary<string, int> _count = new(StringComparer.Ordinal);

        public void Refer(string digest) => _count.AddOrUpdate(digest, 1, (_, count) => count + 1);

        public void Drop(string digest) => _count.AddOrUpdate(digest, 0, (_, count) => count - 1);

        public bool Refers(string digest) => _count.GetValueOrDefault(digest) > 0;

        public async IAsyncEnumerable<ArtifactReference> ReadAsync([EnumeratorCancellation] CancellationToken cancellation)
        {
            foreach (var (digest, _) in _count.Where(c => c.Value > 0))
            {
                await Task.Yield();
                yield return new ArtifactReference { Tenant = "default", Digest = digest };
            }
        }
    }

    private sealed class Clock(TimeProvider time) : ServiceModule
    {
        public override string Name => "clock";

        public override bool UsesBus => false;

        public override void AddServices(IHostApplicationBuilder builder) => builder.Services.AddSingleton(time);
    }
}
