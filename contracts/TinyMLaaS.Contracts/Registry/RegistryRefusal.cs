namespace TinyMLaaS.Contracts.Registry;

/// <summary>A refusal before it is an answer.</summary>
/// <param name="status">HTTP status.</param>
/// <param name="code">One of <see cref="RegistryCodes"/>.</param>
/// <param name="message">For people.</param>
public sealed class RegistryRefusal(int status, string code, string message)
{
    /// <summary>HTTP status.</summary>
    public int Status { get; } = status;

    /// <summary>One of <see cref="RegistryCodes"/>.</summary>
    public string Code { get; } = code;

    /// <summary>For people.</summary>
    public string Message { get; } = message;
}
