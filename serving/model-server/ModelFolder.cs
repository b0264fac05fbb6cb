using System.Text.Json;
using System.Text.Json.Serialization;
using Org.BouncyCastle.Crypto.Digests;

namespace TinyMLaaS.ModelServer;

/// <summary>The models of a folder.</summary>
internal static class ModelFolder
{
    /// <summary>Names the models of a package with their digests. A folder without one is served as it is.</summary>
    public const string Manifest = "models.json";

    /// <summary>Loads all of them, or none.</summary>
    /// <exception cref="ModelException">One cannot be served, is not what the manifest says, or there is none.</exception>
    public static IReadOnlyDictionary<string, ServedModel> Load(string folder, int threads)
    {
        var models = new Dictionary<string, ServedModel>(StringComparer.Ordinal);
        try
        {
            foreach (var entry in List(folder))
                models.Add(entry.Name, Load(folder, entry, threads));
            return models;
        }
        catch
        {
            foreach (var model in models.Values)
                model.Dispose();
            throw;
        }
    }

    private static IReadOnlyList<ModelEntry> List(string folder)
    {
        if (!Directory.Exists(folder))
            throw new ModelException($"There is no folder '{folder}'. Say with --models where the networks are.");
        var manifest = Path.Combine(folder, Manifest);
        if (!File.Exists(manifest))
        {
            var found = Directory.GetFiles(folder, "*.onnx").Order(StringComparer.Ordinal).Select(f => new ModelEntry { Name = Path.GetFileNameWithoutExtension(f), File = Path.GetFileName(f) }).ToArray();
            return found.Length > 0 ? Checked(folder, found) : throw new ModelException($"There is no network in '{folder}': expected NAME.onnx, or a {Manifest}.");
        }
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(manifest), ManifestJson.Default.ModelManifest) is { Models: { Count: > 0 } entries }
                ? Checked(manifest, entries)
                : throw new ModelException($"{manifest} names no model.");
        }
        catch (JsonException error)
        {
            throw new ModelException($"{manifest} cannot be read: {error.Message}");
        }
    }

    private static IReadOnlyList<ModelEntry> Checked(string source, IReadOnlyList<ModelEntry> entries)
    {
        foreach (var entry in entries)
        {
            if (entry.Name.Length is 0 or > 128 || !entry.Name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-'))
                throw new ModelException($"'{entry.Name}' in {source} is no name of a model: expected 1 to 128 letters, digits, '.', '_' and '-'.");
            if (Path.GetFileName(entry.File) != entry.File)
                throw new ModelException($"The file '{entry.File}' of model '{entry.Name}' in {source} is not in the same folder.");
            if (entries.Count(e => e.Name == entry.Name) > 1)
                throw new ModelException($"There are several models '{entry.Name}' in {source}.");
        }
        return entries;
    }

    private static ServedModel Load(string folder, ModelEntry entry, int threads)
    {
        var path = Path.Combine(folder, entry.File);
        byte[] content;
        try
        {
            content = File.ReadAllBytes(path);
        }
        catch (IOException error)
        {
            throw new ModelException($"Model '{entry.Name}' cannot be read from {path}: {error.Message}");
        }
        catch (UnauthorizedAccessException error)
        {
            throw new ModelException($"Model '{entry.Name}' cannot be read from {path}: {error.Message}");
        }
        var digest = DigestOf(content);
        return entry.Digest is null || entry.Digest == digest
            ? ServedModel.Load(entry.Name, entry.Digest, content, threads)
            : throw new ModelException($"Model '{entry.Name}' is damaged: {path} has the digest {digest}, and {entry.Digest} is expected. It is not served.");
    }

    // .NET's own is OpenSSL's, and images do not hold that.
    private static string DigestOf(byte[] content)
    {
        var sha256 = new Sha256Digest();
        sha256.BlockUpdate(content, 0, content.Length);
        var digest = new byte[sha256.GetDigestSize()];
        sha256.DoFinal(digest, 0);
        return $"sha256:{Convert.ToHexStringLower(digest)}";
    }
}

/// <summary>What <see cref="ModelFolder.Manifest"/> holds.</summary>
internal sealed class ModelManifest
{
    public required IReadOnlyList<ModelEntry> Models { get; init; }
}

/// <summary>A model of a package.</summary>
internal sealed class ModelEntry
{
    /// <summary>As requests name it.</summary>
    public required string Name { get; init; }

    /// <summary>The file beside the manifest.</summary>
    public required string File { get; init; }

    /// <summary><c>sha256:</c> and 64 hexadecimal digits; null where the file is taken as it is.</summary>
    public string? Digest { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ModelManifest))]
internal sealed partial class ManifestJson : JsonSerializerContext;
