namespace TinyMLaaS.ModelServer;

/// <summary>A request that cannot be served as it is.</summary>
/// <param name="status">The HTTP status.</param>
/// <param name="code">A stable name of the reason.</param>
/// <param name="message">What was attempted, what was got, what is expected.</param>
internal sealed class RefusedException(int status, string code, string message) : Exception(message)
{
    public int Status => status;

    public string Code => code;
}
