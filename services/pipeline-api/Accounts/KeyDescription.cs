using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>Keys in the OpenAPI document: the scheme, the scope that each operation needs, and how it refuses.</summary>
internal static class KeyDescription
{
    private const string Scheme = "key";

    private static readonly (string Status, string Description)[] Refusals =
        [("401", "The key is missing, unknown, expired or revoked."), ("403", "The key lacks the scope."), ("429", "Too many keys from this address were refused.")];

    public static void DescribeKeys(this OpenApiOptions openApi)
    {
        openApi.AddDocumentTransformer((document, _, _) =>
        {
            document.Components ??= new OpenApiComponents();
            document.Components.SecuritySchemes ??= new Dictionary<string, IOpenApiSecurityScheme>();
            document.Components.SecuritySchemes[Scheme] = new OpenApiSecurityScheme
            {
                Type = SecuritySchemeType.Http,
                Scheme = "bearer",
                Description = $"An API key, '{ApiKey.Mark}...'. A server that listens on loopback alone takes requests of its own machine without one.",
            };
            return Task.CompletedTask;
        });
        openApi.AddOperationTransformer((operation, context, _) =>
        {
            var scopes = context.Description.ActionDescriptor.EndpointMetadata.OfType<IAuthorizeData>().Select(a => a.Policy).OfType<string>().ToList();
            operation.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(Scheme, context.Document)] = scopes }];
            operation.Responses ??= [];
            foreach (var (status, description) in Refusals)
                operation.Responses.TryAdd(status, new OpenApiResponse { Description = description });
            return Task.CompletedTask;
        });
    }
}
