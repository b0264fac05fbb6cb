using Microsoft.AspNetCore.Http;

namespace TinyMLaaS.ServiceDefaults;

/// <summary><c>Authorization: Bearer TOKEN</c>, RFC 6750.</summary>
public static class BearerToken
{
    private const string Scheme = "Bearer ";

    /// <summary>The token; null when the request has none, or another kind of authorization.</summary>
    public static string? Read(HttpRequest request) =>
        request.Headers.Authorization is [{ } text] && text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) ? text[Scheme.Length..].Trim() : null;
}
