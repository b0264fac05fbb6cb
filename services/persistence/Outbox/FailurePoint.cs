using System.Diagnostics;

namespace TinyMLaaS.Persistence.Outbox;

/// <summary>
/// A place where a test can make the process die: the environment names it as <c>TINYML_FAILURE_POINT=NAME</c> or <c>NAME:N</c> for the Nth time it is
/// reached. The process ends as by <c>kill -9</c>.
/// </summary>
internal static class FailurePoint
{
    public const string InboxInserted = "inbox-inserted";
    public const string BeforeCommit = "before-commit";
    public const string AfterCommit = "after-commit";
    public const string BetweenPublishes = "between-publishes";
    public const string BeforeAcknowledge = "before-acknowledge";

    /// <summary>A message with this id begins to be handled.</summary>
    public static void Handles(Guid message)
    {
        if (Chosen is not null)
            Reach($"message-{message}");
    }

    private const string Variable = "TINYML_FAILURE_POINT";

    private static readonly string[]? Chosen = Environment.GetEnvironmentVariable(Variable)?.Split(':');
    private static int _left = Chosen is [_, var times] ? int.Parse(times, System.Globalization.CultureInfo.InvariantCulture) : 1;

    public static void Reach(string name)
    {
        if (Chosen is null || Chosen[0] != name || Interlocked.Decrement(ref _left) != 0)
            return;
        using var self = Process.GetCurrentProcess();
        self.Kill();
    }
}
