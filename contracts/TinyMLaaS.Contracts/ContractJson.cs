using System.Text.Json;
using System.Text.Json.Serialization;

namespace TinyMLaaS.Contracts;

/// <summary>The one way in which contracts are written as JSON: camelCase, absent instead of null, times RFC 3339 UTC.</summary>
public static class ContractJson
{
    /// <summary>Options for HTTP bodies, stored documents and <c>--json</c> output.</summary>
    public static JsonSerializerOptions Options { get; } = Create();

    private static JsonSerializerOptions Create()
    {
        var options = new JsonSerializerOptions();
        Configure(options);
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }

    /// <summary>Applies the same rules to options that a framework made.</summary>
    public static void Configure(JsonSerializerOptions options)
    {
        options.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.MaxDepth = 64;
        options.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower));
    }
}
