namespace TinyMLaaS.Tinyml;

/// <summary>What scripts read from <c>$?</c>.</summary>
internal static class ExitCodes
{
    public const int Done = 0;
    public const int Bug = 1;
    public const int WrongInput = 2;
    public const int RunFailed = 3;

    /// <summary>No server, or no permission.</summary>
    public const int NoServer = 4;
}
