namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>The published JSON schema of <see cref="PipelineDocument"/>.</summary>
public static class PipelineSchema
{
    private const string Resource = "TinyMLaaS.Contracts.Pipelines.pipeline.schema.json";

    /// <summary>JSON schema, draft 2020-12.</summary>
    public static string Text { get; } = Read();

    private static string Read()
    {
        using var reader = new StreamReader(typeof(PipelineSchema).Assembly.GetManifestResourceStream(Resource)
            ?? throw new InvalidOperationException($"The assembly lacks its resource {Resource}."));
        return reader.ReadToEnd();
    }
}
