using TinyMLaaS.Contracts;

namespace TinyMLaaS.Tinyml;

/// <summary>A command ends early, for a reason that the user can act on.</summary>
internal sealed class CommandException(int exitCode, string code, string message, IReadOnlyList<Violation>? violations = null, Exception? inner = null)
    : Exception(message, inner)
{
    public int ExitCode { get; } = exitCode;

    public string Code { get; } = code;

    /// <summary>What is wrong with what was given, one by one; empty when the message says it all.</summary>
    public IReadOnlyList<Violation> Violations { get; } = violations ?? [];

    /// <summary><see cref="Violations"/>, or the message as the one entry: what <c>problems[]</c> holds.</summary>
    public IReadOnlyList<Violation> Problems => Violations.Count > 0 ? Violations : [new Violation { Field = "", Code = Code, Message = Message }];

    /// <summary>Every violation of what was given.</summary>
    public static CommandException Rejected(string message, IReadOnlyList<Violation> violations, string code = "rejected") =>
        new(ExitCodes.WrongInput, code, message, violations);
}
