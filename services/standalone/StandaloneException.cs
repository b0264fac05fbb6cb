namespace TinyMLaaS.Standalone;

/// <summary>A standalone server cannot start as asked.</summary>
public sealed class StandaloneException(string code, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>
    /// Stable, kebab-case: <c>no-keys</c>, <c>unknown-service</c>, <c>home-not-usable</c>, <c>home-in-use</c>, <c>wrong-options</c> or <c>port-in-use</c>.
    /// </summary>
    public string Code { get; } = code;
}
