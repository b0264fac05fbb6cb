using System.Globalization;

namespace TinyMLaaS.Orchestration.Testing;

/// <summary>One broken invariant, and where.</summary>
/// <param name="Rule">One of <see cref="Invariants"/>' names, e.g. <c>I2</c>.</param>
/// <param name="Message">What was found and what should have been.</param>
internal sealed record InvariantViolation(string Rule, string Message)
{
    /// <summary>The run; null where it is about no single one.</summary>
    public Guid? Run { get; init; }

    /// <summary>Position of the step; null where it is about the whole run.</summary>
    public int? Step { get; init; }

    /// <summary>The attempt's fence; null where it is about no single attempt.</summary>
    public long? Fence { get; init; }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Rule}{(Run is null ? "" : $" run {Run}")}{(Step is null ? "" : $" step {Step}")}{(Fence is null ? "" : $" fence {Fence}")}: {Message}");
}
