using System.Diagnostics.CodeAnalysis;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>A checked content address: no other text can become part of a path.</summary>
internal sealed record Digest
{
    private Digest(string text) => Text = text;

    /// <summary><c>sha256:</c> and 64 hexadecimal digits.</summary>
    public string Text { get; }

    /// <summary>The 64 hexadecimal digits.</summary>
    public string Hex => Text[Digests.Prefix.Length..];

    public static bool TryParse(string? text, [NotNullWhen(true)] out Digest? digest)
    {
        digest = Digests.IsDigest(text) ? new Digest(text!) : null;
        return digest is not null;
    }

    public static Digest FromHash(ReadOnlySpan<byte> sha256) => new(Digests.FromHash(sha256));

    public override string ToString() => Text;
}
