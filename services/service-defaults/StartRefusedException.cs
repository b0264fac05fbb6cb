namespace TinyMLaaS.ServiceDefaults;

/// <summary>A service does not start as it is configured, for a reason that its operator can act on.</summary>
public sealed class StartRefusedException(string code, string message) : Exception(message)
{
    /// <summary>Stable, kebab-case.</summary>
    public string Code { get; } = code;
}
