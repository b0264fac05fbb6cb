using Microsoft.AspNetCore.Http;
using TinyMLaaS.Contracts.Accounts;

namespace TinyMLaaS.PipelineApi.Registry;

/// <summary>What may be done with a repository, and the scope of a key that permits it.</summary>
internal static class RegistryActions
{
    public const string Pull = "pull";
    public const string Push = "push";

    /// <summary>Every action with its scope.</summary>
    public static IReadOnlyList<(string Action, string Scope)> All { get; } = [(Pull, Scopes.ArtifactsRead), (Push, Scopes.ArtifactsWrite)];

    /// <summary>What a request does: it pushes unless it only reads.</summary>
    public static string Of(HttpRequest request) => HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method) ? Pull : Push;
}
