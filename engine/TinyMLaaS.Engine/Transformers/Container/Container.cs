using System.Globalization;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Packaging;

namespace TinyMLaaS.Engine.Transformers.Container;

/// <summary>
/// <c>installer/container</c>: an image that serves the network over HTTP, written without a container engine. It holds libraries, the model server and the network, each in a layer of its own, so that another
/// network ships as its layer alone. The file is sealed (<see cref="SealedPackage"/>).
/// </summary>
/// <param name="parts">What images are made of.</param>
/// <param name="signer">Whose seal they get.</param>
public sealed class Container(ContainerParts parts, PackageSigner signer) : ITransformer
{
    private const string User = "65532:65532";
    private const string Program = "/app/model-server";
    private const long Second = 1_000_000_000;

    /// <inheritdoc/>
    public TransformerInfo Info { get; } = new()
    {
        Name = "installer/container",
        Version = $"1-{parts.Digest[..12]}-{signer.ShortId}",
        Summary = "Packs the network and a server of it into a container image.",
        Accepts = ["onnx"],
        Produces = "oci-image",
        Options = typeof(ContainerOptions),
    };

    /// <inheritdoc/>
    /// <exception cref="TransformRejectedException"><c>invalid-option</c>, <c>missing-tool</c>, <c>unknown-base</c>, <c>unsuitable-base</c>, and what <see cref="OnnxFile.Read(string)"/> throws.</exception>
    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var options = TransformerOptions.Parse<ContainerOptions>(request.Options);
        progress.Report(new TransformProgress(0, "describing the model"));
        var network = PackageJson.Describe(OnnxFile.Read(request.InputPath));
        var name = options.Name ?? ContainerOptions.Fit(request.History?.ModelName ?? "model");
        var served = name[(name.LastIndexOf('/') + 1)..];
        var model = PackageFile.FromDisk($"models/{served}.onnx", request.InputPath);
        var tag = options.Tag ?? model.ShortDigest;
        cancellation.ThrowIfCancellationRequested();

        progress.Report(new TransformProgress(0.1, "packing the model"));
        var platforms = ContainerParts.Platforms.Intersect(options.Platforms, StringComparer.Ordinal).ToArray();
        var components = new JsonArray([Provenance.Network(served, model), .. platforms.SelectMany(p => Provenance.Components(parts.ComponentsOf(p, withLibraries: options.Base is null)))]);
        var files = new List<PackageFile> { model, PackageFile.FromMemory("models/models.json", PackageJson.Bytes(Manifest(served, model))), Provenance.Bill("package/" + Provenance.BillPath, "container", name, tag, components) };
        if (request.History is { } history)
            files.Add(PackageFile.FromMemory("package/recipe.json", PackageJson.Bytes(history.Recipe)));
        var top = (ImageLayer.Write(Path.Combine(request.WorkFolder, "model-layer"), files, cancellation), "model");

        progress.Report(new TransformProgress(0.3, "reading the layers below"));
        var labels = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["org.opencontainers.image.title"] = served,
            ["org.opencontainers.image.version"] = tag,
            ["io.tinymlaas.model.digest"] = model.Digest,
            ["io.tinymlaas.made-by"] = $"{Info.Name} {Info.Version}",
        };
        if ((string?)request.History?.Recipe["model"]?["digest"] is { } source)
            labels["io.tinymlaas.source-model.digest"] = source;
        if (options.Base is { } named)
            labels["org.opencontainers.image.base.name"] = named;
        var images = new List<Image>();
        foreach (var platform in platforms)
        {
            var (layers, config, baseDigest) = parts.Below(platform, options.Base, cancellation);
            if (baseDigest is not null)
                labels["org.opencontainers.image.base.digest"] = baseDigest;
            images.Add(new Image(platform["linux/".Length..], Started(config, options.Port, labels), [.. layers, top]));
        }

        progress.Report(new TransformProgress(0.6, "writing the image"));
        var output = Path.Combine(request.WorkFolder, "image.tar");
        var body = Path.Combine(request.WorkFolder, "body");
        var digest = ImageArchive.Write(body, name, tag, images, labels, cancellation);
        SealedPackage.Write(output, body, sha256 => Provenance.Statement([("image.tar", sha256), ($"{name}:{tag}", digest["sha256:".Length..])], Info, request, components), signer);
        return new TransformResult
        {
            OutputPath = output,
            Report = new JsonObject
            {
                ["image"] = $"{name}:{tag}",
                ["digest"] = digest,
                ["signedBy"] = signer.PublicKey.Id,
                ["bytes"] = new FileInfo(output).Length,
                ["port"] = options.Port,
                ["platforms"] = new JsonArray([.. images.Select(Describe)]),
                ["labels"] = new JsonObject(labels.Select(l => KeyValuePair.Create(l.Key, (JsonNode?)l.Value))),
                ["network"] = network,
            },
        };
    }

    private static JsonObject Manifest(string served, PackageFile model) => new()
    {
        ["models"] = new JsonArray(new JsonObject { ["name"] = served, ["file"] = Path.GetFileName(model.Path), ["digest"] = model.Digest }),
    };

    /// <summary>What a container is started with: what the base says, where it does not contradict.</summary>
    private static JsonObject Started(JsonObject ofBase, int port, IReadOnlyDictionary<string, string> labels)
    {
        var config = (JsonObject)ofBase.DeepClone();
        var portText = port.ToString(CultureInfo.InvariantCulture);
        config["User"] = User;
        config["WorkingDir"] = "/";
        config["Entrypoint"] = new JsonArray(Program);
        config.Remove("Cmd");
        config.Remove("Volumes");
        config["ExposedPorts"] = new JsonObject { [portText + "/tcp"] = new JsonObject() };
        config["Env"] = Merged(config["Env"] as JsonArray, new Dictionary<string, string>
        {
            ["MODEL_SERVER_ADDRESS"] = "0.0.0.0",
            ["MODEL_SERVER_PORT"] = portText,
            ["ORT_DISABLE_TELEMETRY"] = "1",
        });
        // A member of Docker's that OCI does not know: other engines pass over it.
        config["Healthcheck"] = new JsonObject
        {
            ["Test"] = new JsonArray("CMD", Program, "health"),
            ["Interval"] = 10 * Second,
            ["Timeout"] = 5 * Second,
            ["StartPeriod"] = 10 * Second,
            ["Retries"] = 3,
        };
        config["StopSignal"] = "SIGTERM";
        var all = config["Labels"] as JsonObject ?? [];
        foreach (var (label, value) in labels)
            all[label] = value;
        config["Labels"] = all.DeepClone();
        return config;
    }

    private static JsonArray Merged(JsonArray? ofBase, Dictionary<string, string> ours) =>
        new([
            .. (ofBase ?? []).Select(v => v!.ToString()).Where(v => !ours.ContainsKey(v.Split('=')[0])).Select(v => (JsonNode)v),
            .. ours.Select(v => (JsonNode)$"{v.Key}={v.Value}"),
        ]);

    private static JsonObject Describe(Image image) => new()
    {
        ["platform"] = "linux/" + image.Architecture,
        ["unpackedBytes"] = image.Layers.Sum(l => l.Layer.UnpackedBytes),
        ["layers"] = new JsonArray([.. image.Layers.Select(l => new JsonObject { ["purpose"] = l.Purpose, ["digest"] = l.Layer.Digest, ["bytes"] = l.Layer.Bytes, ["unpackedBytes"] = l.Layer.UnpackedBytes })]),
    };
}
