namespace TinyMLaaS.Tinyml.Servers;

/// <summary>What the global options say about the server.</summary>
/// <param name="Server">Address given by option or environment; null for the home's own server.</param>
/// <param name="Key">Key given by option or environment.</param>
/// <param name="Home">Home of the own server; null for the default.</param>
/// <param name="Without">Services that an own server leaves out.</param>
internal sealed record ServerChoice(string? Server, string? Key, string? Home, IReadOnlyList<string> Without);
