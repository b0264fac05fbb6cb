namespace TinyMLaaS.Contracts.Registry;

/// <summary>A refusal before it is an answer.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">One of <see cref="RegistryCodes"/>.</param>
/// <param name="Message">For people.</param>
public sealed record RegistryRefusal(int Status, string Code, string Message);
