using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Answers of RFC 9457.</summary>
public static class Problems
{
    /// <summary>Media type of a problem document.</summary>
    public const string MediaType = "application/problem+json";

    /// <summary>A problem document as a result of an endpoint.</summary>
    /// <param name="status">HTTP status.</param>
    /// <param name="code">Stable, kebab-case.</param>
    /// <param name="title">The kind of problem for people.</param>
    /// <param name="detail">What happened here.</param>
    /// <param name="errors">All violations of a refused request.</param>
    public static IResult Result(int status, string code, string title, string? detail = null, IReadOnlyList<Violation>? errors = null) =>
        Results.Json(Create(status, code, title, detail, errors), ContractJson.Options, MediaType, status);

    /// <summary>A problem document.</summary>
    public static Problem Create(int status, string code, string title, string? detail = null, IReadOnlyList<Violation>? errors = null) => new()
    {
        Type = $"urn:tinymlaas:problem:{code}",
        Title = title,
        Status = status,
        Detail = detail,
        Code = code,
        Errors = errors ?? [],
        TraceId = Activity.Current?.TraceId.ToString(),
    };
}
