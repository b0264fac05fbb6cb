using System.Collections.Concurrent;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>The idempotency keys of requests that are being answered now. Across processes the key's row decides.</summary>
internal sealed class RunKeysInFlight
{
    private readonly ConcurrentDictionary<string, bool> _keys = new(StringComparer.Ordinal);

    public bool TryEnter(string key) => _keys.TryAdd(key, true);

    public void Leave(string key) => _keys.TryRemove(key, out _);
}
