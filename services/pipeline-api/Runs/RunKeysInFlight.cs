using System.Collections.Concurrent;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>The idempotency keys of requests that are being answered now. Across processes the key's row decides.</summary>
internal sealed class RunKeysInFlight
{
    private readonly ConcurrentDictionary<(string Tenant, string Key), bool> _keys = new();

    public bool TryEnter(string tenant, string key) => _keys.TryAdd((tenant, key), true);

    public void Leave(string tenant, string key) => _keys.TryRemove((tenant, key), out _);
}
