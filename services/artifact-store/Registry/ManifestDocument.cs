using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.ArtifactStore.Storage;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>What a manifest says of something else.</summary>
/// <param name="MediaType">What it is.</param>
/// <param name="Digest">Its name.</param>
/// <param name="Size">How long it is.</param>
internal sealed record ManifestDescriptor(string MediaType, Digest Digest, long Size);

/// <summary>A manifest of an image, or an index of several, read with bounds: it comes from a stranger.</summary>
internal sealed record ManifestDocument
{
    /// <summary>The longest that is taken, in bytes.</summary>
    public const int MaxBytes = 4 << 20;

    private const int MaxDepth = 32;
    private static readonly JsonDocumentOptions Bounds = new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false };

    /// <summary>What it is served as.</summary>
    public required string MediaType { get; init; }

    /// <summary>Configuration and layers.</summary>
    public required IReadOnlyList<ManifestDescriptor> Blobs { get; init; }

    /// <summary>Of an index.</summary>
    public required IReadOnlyList<ManifestDescriptor> Manifests { get; init; }

    /// <summary>The manifest that this one says something of; it need not be there.</summary>
    public Digest? Subject { get; init; }

    /// <summary>What it holds that is no image.</summary>
    public string? ArtifactType { get; init; }

    /// <summary>What it says of itself.</summary>
    public JsonObject? Annotations { get; init; }

    /// <summary>Reads one.</summary>
    /// <param name="bytes">All of it.</param>
    /// <param name="mediaType">What it is said to be; null when nothing is said but in it.</param>
    /// <param name="document">What it says.</param>
    /// <param name="wrong">Why it is none.</param>
    public static bool TryRead(ReadOnlyMemory<byte> bytes, string? mediaType, [NotNullWhen(true)] out ManifestDocument? document, [NotNullWhen(false)] out string? wrong)
    {
        (document, wrong) = (null, null);
        try
        {
            using var json = JsonDocument.Parse(bytes, Bounds);
            document = Read(json.RootElement, mediaType);
            return true;
        }
        catch (JsonException error)
        {
            wrong = $"The manifest is no JSON that can be read: {error.Message}";
        }
        catch (FormatException error)
        {
            wrong = error.Message;
        }
        return false;
    }

    /// <summary>A JSON document of a stranger.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static JsonElement ReadJson(ReadOnlyMemory<byte> bytes, string name)
    {
        try
        {
            using var json = JsonDocument.Parse(bytes, Bounds);
            return json.RootElement.Clone();
        }
        catch (JsonException error)
        {
            throw new FormatException($"'{name}' is no JSON that can be read: {error.Message}");
        }
    }

    /// <summary>A descriptor.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static ManifestDescriptor ReadDescriptor(JsonElement element, string name)
    {
        if (element.ValueKind != JsonValueKind.Object)
            throw new FormatException($"{name} is no descriptor: expected an object with mediaType, digest and size.");
        if (Text(element, "mediaType") is not { Length: > 0 } mediaType)
            throw new FormatException($"{name} has no mediaType.");
        if (!Digest.TryParse(Text(element, "digest"), out var digest))
            throw new FormatException($"{name} has no digest that can be read. Expected sha256: and 64 lower-case hexadecimal digits.");
        if (!element.TryGetProperty("size", out var size) || size.ValueKind != JsonValueKind.Number || !size.TryGetInt64(out var length) || length < 0)
            throw new FormatException($"{name} has no size.");
        return new ManifestDescriptor(mediaType, digest, length);
    }

    /// <summary>A text member; null when it is absent.</summary>
    /// <exception cref="FormatException">It is there and no text.</exception>
    public static string? Text(JsonElement element, string name) => !element.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null ? null
        : value.ValueKind == JsonValueKind.String ? TextOf(value, name)
        : throw new FormatException($"'{name}' is no text.");

    private static string? TextOf(JsonElement value, string name)
    {
        try
        {
            return value.GetString();
        }
        catch (InvalidOperationException)
        {
            // Half of a surrogate pair, escaped.
            throw new FormatException($"'{name}' is no text.");
        }
    }

    private static ManifestDocument Read(JsonElement root, string? said)
    {
        if (root.ValueKind != JsonValueKind.Object)
            throw new FormatException("The manifest is no JSON object.");
        if (!root.TryGetProperty("schemaVersion", out var version) || version.ValueKind != JsonValueKind.Number || !version.TryGetInt32(out var number) || number != 2)
            throw new FormatException("The manifest has no schemaVersion of 2.");
        var own = Text(root, "mediaType");
        if (own is not null && said is not null && own != said)
            throw new FormatException($"The manifest says that it is {own}, and the request that it is {said}.");
        var mediaType = own ?? said ?? throw new FormatException("Nothing says of what media type the manifest is.");
        if (!MediaTypes.All.Contains(mediaType))
            throw new FormatException($"Manifests of the type {mediaType} are not taken. Expected one of {string.Join(", ", MediaTypes.All)}.");
        var subject = root.TryGetProperty("subject", out var found) && found.ValueKind != JsonValueKind.Null ? ReadDescriptor(found, "'subject'") : null;
        var artifactType = Text(root, "artifactType");
        var isIndex = MediaTypes.IsIndex(mediaType);
        // What both kinds of readers would take differently is taken by none.
        if (root.TryGetProperty(isIndex ? "layers" : "manifests", out _))
            throw new FormatException($"A manifest of the type {mediaType} has no '{(isIndex ? "layers" : "manifests")}'.");
        ManifestDescriptor? configuration = null;
        if (!isIndex)
            configuration = root.TryGetProperty("config", out var config) ? ReadDescriptor(config, "'config'") : throw new FormatException("The manifest has no 'config'.");
        return new ManifestDocument
        {
            MediaType = mediaType,
            Blobs = isIndex ? [] : [configuration!, .. ReadList(root, "layers")],
            Manifests = isIndex ? ReadList(root, "manifests") : [],
            Subject = subject?.Digest,
            ArtifactType = string.IsNullOrEmpty(artifactType) ? configuration?.MediaType : artifactType,
            Annotations = root.TryGetProperty("annotations", out var annotations) && annotations.ValueKind != JsonValueKind.Null ? ReadAnnotations(annotations) : null,
        };
    }

    private static JsonObject ReadAnnotations(JsonElement annotations)
    {
        if (annotations.ValueKind != JsonValueKind.Object)
            throw new FormatException("'annotations' is no JSON object.");
        var texts = new JsonObject();
        foreach (var annotation in annotations.EnumerateObject())
        {
            if (annotation.Value.ValueKind != JsonValueKind.String)
                throw new FormatException("'annotations' has a value that is no text.");
            try
            {
                texts[annotation.Name] = annotation.Value.GetString();
            }
            catch (InvalidOperationException)
            {
                throw new FormatException("'annotations' has a name or a value that is no text.");
            }
        }
        return texts;
    }

    private static ManifestDescriptor[] ReadList(JsonElement root, string name) => root.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array
        ? [.. list.EnumerateArray().Select((element, i) => ReadDescriptor(element, $"'{name}[{i}]'"))]
        : throw new FormatException($"The manifest has no list '{name}'.");
}
