using System.Globalization;
using System.Net;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>Whether a key that a request shows is accepted now, in whatever way it is shown.</summary>
internal sealed class KeyCheck(KeyRing keys, RefusedKeys refused, TimeProvider time)
{
    /// <summary>What to say to who has none.</summary>
    public const string HowToGetOne = "Make one with 'tinyml key create', or ask whoever may";

    /// <summary>Looks a key up.</summary>
    /// <param name="shown">What is shown as one; null when it cannot be read.</param>
    /// <param name="expected">How it should be shown, for messages.</param>
    /// <param name="address">Where the request comes from.</param>
    /// <param name="cancellation">The request's.</param>
    /// <returns>The key's row, or why it is refused.</returns>
    public async Task<(KeyRow? Row, KeyRefusal? Refusal)> CheckAsync(string? shown, string expected, IPAddress? address, CancellationToken cancellation)
    {
        var key = shown is null ? null : ApiKey.Read(shown);
        var hash = key?.Hash;
        if (refused.Wait(address, hash) is { Ticks: > 0 } wait)
            return (null, new KeyRefusal("too-many-refused-keys", "Too many keys from this address were refused. Try again later, with a key that is accepted.") { Wait = wait });
        var row = hash is null ? null : await keys.FindAsync(hash, cancellation);
        var refusal = row is null
            ? new KeyRefusal("key-unknown", $"The key is not one of this installation. Expected {expected} with a key that begins with '{ApiKey.Mark}'. {HowToGetOne}.")
            : Judge(row);
        if (refusal is not null)
        {
            refused.Refused(address, hash);
            return (null, refusal);
        }
        refused.Accepted(hash!);
        await keys.NoteUseAsync(row!, cancellation);
        return (row, null);
    }

    /// <summary>Why a key that is known is not accepted now; null when it is.</summary>
    public KeyRefusal? Judge(KeyRow row) => row switch
    {
        { RevokedAt: { } revoked } => new KeyRefusal("key-revoked", $"The key {row.Prefix} was revoked on {Shown(revoked)}. {HowToGetOne}."),
        { ExpiresAt: var end } when end <= time.GetUtcNow() => new KeyRefusal("key-expired", $"The key {row.Prefix} expired on {Shown(end)}. {HowToGetOne}."),
        _ => null,
    };

    private static string Shown(DateTimeOffset at) => at.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture) + " UTC";
}
