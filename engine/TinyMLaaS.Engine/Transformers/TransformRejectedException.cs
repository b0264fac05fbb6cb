namespace TinyMLaaS.Engine.Transformers;

/// <summary>
/// The user's model, options or data cannot be transformed: another try would end alike. Everything that is not this is infrastructure or a bug.
/// </summary>
public sealed class TransformRejectedException(string code, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>Stable, kebab-case, e.g. <c>unsupported-operator</c>.</summary>
    public string Code { get; } = code;
}
