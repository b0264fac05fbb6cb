using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Packaging;

namespace TinyMLaaS.Engine.Transformers.Container;

/// <summary>What images are made of on this machine: the model server, built for each kind of machine, and the bases that its operator offers.</summary>
public sealed class ContainerParts
{
    private const string System = "system";
    private const string Server = "server";
    private const string Components = "components.json";

    private static readonly (string Platform, string Folder)[] Known = [("linux/amd64", "linux-x64"), ("linux/arm64", "linux-arm64")];

    private readonly string _servers;
    private readonly IReadOnlyDictionary<string, string> _bases;
    private readonly ConcurrentDictionary<string, ImageLayer> _layers = new(StringComparer.Ordinal);

    /// <summary>Looks what is there; nothing is read before an image needs it.</summary>
    /// <param name="servers">Folder with what <c>serving/build</c> makes: <c>linux-x64</c>, <c>linux-arm64</c>. What is not there is missed by the image that needs it.</param>
    /// <param name="bases">Folders with OCI image layouts, by the names that pipelines use.</param>
    public ContainerParts(string servers, IReadOnlyDictionary<string, string> bases)
    {
        _servers = servers;
        _bases = bases;
        // Whatever can become part of an image is named by content in one of these, so that no image of before is taken for one of now.
        using var all = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var file in Known.Select(k => Path.Combine(servers, k.Folder, Components)).Concat(bases.OrderBy(b => b.Key, StringComparer.Ordinal).Select(b => Path.Combine(b.Value, "index.json"))))
        {
            using var content = File.Exists(file) ? File.OpenRead(file) : Stream.Null;
            all.AppendData(SHA256.HashData(content));
        }
        Digest = Convert.ToHexStringLower(all.GetCurrentHash());
    }

    /// <summary>Changes with any of the parts: 64 hexadecimal digits.</summary>
    public string Digest { get; }

    /// <summary>The kinds of machines that images can be for, as OCI names them.</summary>
    internal static IReadOnlyList<string> Platforms { get; } = [.. Known.Select(k => k.Platform)];

    /// <summary>The layers below the model's, with what a container of the base is started with and the base's digest, which is null for our own.</summary>
    /// <param name="platform">One of <see cref="Platforms"/>.</param>
    /// <param name="baseName">One of the operator's bases; null for our own.</param>
    /// <param name="cancellation">Ends it early.</param>
    /// <exception cref="TransformRejectedException"><c>missing-tool</c>, <c>unknown-base</c>, <c>unsuitable-base</c>.</exception>
    internal (IReadOnlyList<(ImageLayer Layer, string Purpose)> Layers, JsonObject Config, string? BaseDigest) Below(string platform, string? baseName, CancellationToken cancellation)
    {
        var server = (Layer(platform, Server, cancellation), "model server");
        if (baseName is null)
            return ([(Layer(platform, System, cancellation), "libraries of C and C++"), server], [], null);
        if (!_bases.TryGetValue(baseName, out var folder))
        {
            throw new TransformRejectedException(
                "unknown-base",
                $"There is no base '{baseName}' on this worker; it has {(_bases.Count == 0 ? "none" : string.Join(", ", _bases.Keys.Order(StringComparer.Ordinal).Select(b => $"'{b}'")))}. Its operator names OCI image layouts under Installer:Bases.");
        }
        try
        {
            var needed = new HashSet<string>(["libc.so.6", "libstdc++.so.6", "libgcc_s.so.1"], StringComparer.Ordinal);
            var (image, digest) = ImageLayout.Read(folder, platform["linux/".Length..], path => needed.Remove(Path.GetFileName(path)), cancellation);
            return needed.Count == 0
                ? ([.. image.Layers.Select(l => (l.Layer, $"base {baseName}")), server], image.Config, digest)
                : throw new InvalidDataException($"it has no {string.Join(", ", needed.Order(StringComparer.Ordinal))}, which the model server needs. Take one with glibc 2.28 or newer and libstdc++, such as Debian's.");
        }
        catch (InvalidDataException error)
        {
            throw new TransformRejectedException("unsuitable-base", $"Cannot build on the base '{baseName}' for {platform}: {error.Message}", error);
        }
    }

    /// <summary>What the layers of the model server hold, as <c>serving/build</c> wrote it down.</summary>
    /// <param name="platform">One of <see cref="Platforms"/>.</param>
    /// <param name="withLibraries">Those of C and C++, too.</param>
    internal JsonArray ComponentsOf(string platform, bool withLibraries)
    {
        var built = Built(platform);
        return new JsonArray([.. (withLibraries ? (string[])[System, Server] : [Server]).SelectMany(l => (built["components"]?[l] as JsonArray ?? []).Select(c => c!.DeepClone()))]);
    }

    private ImageLayer Layer(string platform, string name, CancellationToken cancellation)
    {
        var digest = Built(platform)[name]?.ToString() ?? "";
        if (_layers.TryGetValue(digest, out var known))
            return known;
        var path = PathOf(platform, name + ".tar.gz");
        try
        {
            var layer = ImageLayer.Read(path, ImageLayer.Compressed, null, cancellation);
            return layer.Digest == digest ? _layers[digest] = layer : throw new InvalidDataException($"it has the digest {layer.Digest}, expected {digest}");
        }
        catch (InvalidDataException error)
        {
            throw Damaged(platform, path, error);
        }
    }

    private JsonObject Built(string platform)
    {
        var path = PathOf(platform, Components);
        try
        {
            return JsonNode.Parse(File.ReadAllBytes(path)) is JsonObject built && built["components"] is JsonObject ? built : throw new JsonException("it is not what serving/build writes");
        }
        catch (JsonException error)
        {
            throw Damaged(platform, path, error);
        }
    }

    private string PathOf(string platform, string file)
    {
        var path = Path.Combine(_servers, FolderOf(platform), file);
        return File.Exists(path) ? path : throw new TransformRejectedException("missing-tool", $"Cannot make an image for {platform}: this worker has no model server for it, '{path}' is missing. Build it: serving/build {FolderOf(platform)}");
    }

    private static TransformRejectedException Damaged(string platform, string path, Exception error) =>
        new("missing-tool", $"Cannot make an image for {platform}: '{path}' is damaged: {error.Message}. Build it anew: serving/build {FolderOf(platform)}", error);

    private static string FolderOf(string platform) => Known.Single(k => k.Platform == platform).Folder;
}
