using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>
/// Bounds how often an address may show keys that are refused: <see cref="Burst"/> at once, then one every <see cref="Refill"/>. Keys that were good before stay
/// good meanwhile, so that one forgotten script does not shut out those who share its address. Memory is fixed: addresses share a table of slots, an IPv6
/// network of 64 bits counts as one address.
/// </summary>
internal sealed class RefusedKeys(TimeProvider time)
{
    public const int Burst = 20;
    public static readonly TimeSpan Refill = TimeSpan.FromSeconds(3);

    private const int Slots = 4096;
    private const int MostGood = 4096;

    private readonly Slot[] _slots = [.. Enumerable.Range(0, Slots).Select(_ => new Slot())];
    private readonly ConcurrentDictionary<string, bool> _good = new(StringComparer.Ordinal);
    private readonly int _seed = Random();

    /// <summary>How long the address has to wait before a key of it is looked at; zero when it need not.</summary>
    /// <param name="address">Where the request comes from.</param>
    /// <param name="hash">Of the key that it shows; null for what is no key.</param>
    public TimeSpan Wait(IPAddress? address, string? hash)
    {
        if (hash is not null && _good.ContainsKey(hash))
            return TimeSpan.Zero;
        var slot = Of(address);
        lock (slot)
        {
            slot.Fill(time);
            return slot.Left >= 1 ? TimeSpan.Zero : (1 - slot.Left) * Refill;
        }
    }

    /// <summary>A key was refused.</summary>
    public void Refused(IPAddress? address, string? hash)
    {
        if (hash is not null)
            _good.TryRemove(hash, out _);
        var slot = Of(address);
        lock (slot)
        {
            slot.Fill(time);
            slot.Left = Math.Max(0, slot.Left - 1);
        }
    }

    /// <summary>A key was accepted.</summary>
    public void Accepted(string hash)
    {
        if (_good.ContainsKey(hash))
            return;
        if (_good.Count >= MostGood)
            _good.Clear();
        _good[hash] = true;
    }

    private Slot Of(IPAddress? address)
    {
        Span<byte> bytes = stackalloc byte[16];
        var length = 0;
        if (address is not null)
            (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).TryWriteBytes(bytes, out length);
        var hash = new HashCode();
        // Not foreseeable from outside, so that nobody can aim at the slot of another.
        hash.Add(_seed);
        hash.AddBytes(bytes[..(address?.AddressFamily == AddressFamily.InterNetworkV6 && length == 16 ? 8 : length)]);
        return _slots[(uint)hash.ToHashCode() % Slots];
    }

    private static int Random() => System.Security.Cryptography.RandomNumberGenerator.GetInt32(int.MaxValue);

    private sealed class Slot
    {
        private long? _at;

        public double Left { get; set; } = Burst;

        public void Fill(TimeProvider time)
        {
            var now = time.GetTimestamp();
            if (_at is { } before)
                Left = Math.Min(Burst, Left + time.GetElapsedTime(before, now) / Refill);
            _at = now;
        }
    }
}
