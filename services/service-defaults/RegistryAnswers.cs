using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Registry;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Refusals under <c>/v2</c>, where clients expect the error documents of OCI distribution and not problems.</summary>
public static class RegistryAnswers
{
    /// <summary>An error document as a result of an endpoint.</summary>
    /// <param name="status">HTTP status.</param>
    /// <param name="code">One of <see cref="RegistryCodes"/>.</param>
    /// <param name="message">What happened, for people.</param>
    /// <param name="detail">The same for programs.</param>
    public static IResult Refuse(int status, string code, string message, JsonNode? detail = null) =>
        Results.Json(new RegistryErrors { Errors = [new RegistryError { Code = code, Message = message, Detail = detail is null ? null : JsonSerializer.SerializeToElement(detail) }] }, ContractJson.Options, "application/json", status);

    /// <inheritdoc cref="Refuse(int, string, string, JsonNode?)"/>
    public static IResult Refuse(RegistryRefusal refusal) => Refuse(refusal.Status, refusal.Code, refusal.Message);
}
