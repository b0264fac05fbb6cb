using TinyMLaaS.Contracts;

namespace TinyMLaaS.Tinyml;

/// <summary>A command ends early, for a reason that the user can act on.</summary>
internal sealed class CommandException(int exitCode, string code, string message, IReadOnlyList<Problem>? problems = null, Exception? inner = null)
    : Exception(message, inner)
{
    public int ExitCode { get; } = exitCode;

    public string Code { get; } = code;

    /// <summary>Everything that is wrong; the message alone when nobody listed more.</summary>
    public IReadOnlyList<Problem> Problems { get; } = problems is { Count: > 0 } ? problems : [new Problem { Code = code, Message = message }];

    /// <summary>The violations among <see cref="Problems"/>.</summary>
    public IReadOnlyList<Violation> Violations { get; private init; } = [];

    /// <summary>Every violation of what was given.</summary>
    public static CommandException Rejected(string message, IReadOnlyList<Violation> violations, string code = "rejected") =>
        new(ExitCodes.WrongInput, code, message, [.. violations.Select(v => new Problem { Step = v.Step, Field = v.Field, Code = v.Code, Message = v.Message })])
        {
            Violations = violations,
        };
}
