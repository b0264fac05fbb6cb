using System.Security.Cryptography;
using System.Text;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>What happened, as a hash over every line and the last lines as they are.</summary>
internal sealed class Trace : IDisposable
{
    private const int Kept = 60;

    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly Queue<string> _last = new();

    public int Lines { get; private set; }

    public IReadOnlyCollection<string> Last => _last;

    public void Add(TimeSpan at, string line)
    {
        var text = FormattableString.Invariant($"{at.TotalSeconds:F3} {line}\n");
        _hash.AppendData(Encoding.UTF8.GetBytes(text));
        Lines++;
        _last.Enqueue(text);
        if (_last.Count > Kept)
            _last.Dequeue();
    }

    public string Hash() => Text(_hash.GetCurrentHash());

    /// <summary>Of several traces, in their order.</summary>
    public static string HashOf(IEnumerable<string> hashes) => Text(SHA256.HashData(Encoding.UTF8.GetBytes(string.Concat(hashes))));

    public void Dispose() => _hash.Dispose();

    private static string Text(byte[] hash) => Convert.ToHexStringLower(hash)[..16];
}
