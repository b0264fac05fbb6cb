namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>Why a key is not accepted.</summary>
/// <param name="Code">Stable.</param>
/// <param name="Detail">For people.</param>
internal sealed record KeyRefusal(string Code, string Detail)
{
    /// <summary>The request has none.</summary>
    public const string Missing = "key-missing";

    /// <summary>How long its address has to wait; null when it need not.</summary>
    public TimeSpan? Wait { get; init; }
}
