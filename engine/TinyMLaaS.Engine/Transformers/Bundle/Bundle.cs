using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Packaging;

namespace TinyMLaaS.Engine.Transformers.Bundle;

/// <summary>
/// <c>installer/bundle</c>: one archive that holds a network with all that is known of it: <c>model.onnx</c>, <c>manifest.json</c> (digests, inputs and
/// outputs, the recipe), <c>report.json</c> with the steps' reports under <c>reports/</c>, a bill of materials, and a <c>README.txt</c>; sealed (<see cref="SealedPackage"/>).
/// </summary>
/// <param name="signer">Whose seal the archive gets.</param>
public sealed class Bundle(PackageSigner signer) : ITransformer
{
    private const int FormatVersion = 1;

    /// <inheritdoc/>
    public TransformerInfo Info { get; } = new()
    {
        Name = "installer/bundle",
        Version = $"3-{signer.ShortId}",
        Summary = "Packs the network, a manifest with digests and the recipe, and all reports into one archive.",
        Accepts = ["onnx"],
        Produces = "bundle",
        Options = typeof(BundleOptions),
        ReadsReports = true,
    };

    /// <inheritdoc/>
    /// <exception cref="TransformRejectedException"><c>invalid-option</c>, and what <see cref="OnnxFile.Read(string)"/> throws.</exception>
    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var options = TransformerOptions.Parse<BundleOptions>(request.Options);
        progress.Report(new TransformProgress(0, "describing the model"));
        var network = PackageJson.Describe(OnnxFile.Read(request.InputPath));
        var name = options.Name ?? BundleOptions.Fit(request.History?.ModelName ?? "model");
        cancellation.ThrowIfCancellationRequested();

        var model = PackageFile.FromDisk("model.onnx", request.InputPath);
        var reports = Reports(request.History);
        var summary = Summary(name, network, model, request.History, reports);
        var described = new List<PackageFile> { model, PackageFile.FromMemory("README.txt", Readme(name, network)), PackageFile.FromMemory("report.json", PackageJson.Bytes(summary)) };
        var components = new JsonArray(Provenance.Network(name, model));
        described.Add(Provenance.Bill(Provenance.BillPath, "data", name, model.ShortDigest, components));
        described.AddRange(reports);
        described.Sort((a, b) => string.CompareOrdinal(a.Path, b.Path));
        var manifest = new JsonObject
        {
            ["formatVersion"] = FormatVersion,
            ["name"] = name,
            ["madeBy"] = new JsonObject { ["uses"] = Info.Name, ["version"] = Info.Version },
            ["files"] = PackageJson.Describe(described),
            ["network"] = network,
            ["recipe"] = request.History?.Recipe.DeepClone(),
        };

        progress.Report(new TransformProgress(0.3, "packing"));
        var output = Path.Combine(request.WorkFolder, $"{name}.tar.gz");
        var body = Path.Combine(request.WorkFolder, "body");
        // The manifest comes first, so that a reader of the stream knows what follows.
        PackageArchive.Write(body, described.Prepend(PackageFile.FromMemory("manifest.json", PackageJson.Bytes(manifest))), cancellation);
        SealedPackage.Write(output, body, sha256 => Provenance.Statement([(Path.GetFileName(output), sha256)], Info, request, components), signer);
        return new TransformResult
        {
            OutputPath = output,
            Report = new JsonObject
            {
                ["name"] = name,
                ["signedBy"] = signer.PublicKey.Id,
                ["bytes"] = new FileInfo(output).Length,
                ["files"] = PackageJson.Describe(described),
                ["network"] = network.DeepClone(),
            },
        };
    }

    /// <summary>The steps' reports as they are, numbered as in the pipeline.</summary>
    private static List<PackageFile> Reports(TransformHistory? history)
    {
        var files = new List<PackageFile>();
        for (var i = 0; i < (history?.ReportPaths.Count ?? 0); i++)
        {
            var uses = BundleOptions.Fit(Uses(history!, i) ?? "step");
            files.Add(PackageFile.FromDisk(string.Create(CultureInfo.InvariantCulture, $"reports/{i + 1}-{uses}.json"), history!.ReportPaths[i]));
        }
        return files;
    }

    private static string? Uses(TransformHistory history, int step) =>
        history.Recipe["steps"] is JsonArray steps && step < steps.Count && steps[step]?["uses"] is JsonValue uses && uses.TryGetValue<string>(out var text) ? text : null;

    /// <summary>Before and after of the whole pipeline: what the first step that tells found, and what is packed here.</summary>
    private static JsonObject Summary(string name, JsonObject network, PackageFile model, TransformHistory? history, List<PackageFile> reports)
    {
        var contents = reports.Select(r =>
        {
            using var stream = r.Open();
            return JsonNode.Parse(stream);
        }).ToList();
        return new JsonObject
        {
            ["name"] = name,
            ["before"] = contents.OfType<JsonObject>().Select(c => c["before"]).FirstOrDefault(b => b is not null)?.DeepClone(),
            ["after"] = new JsonObject { ["bytes"] = model.Bytes, ["parameters"] = network["parameters"]?.DeepClone(), ["macs"] = network["macs"]?.DeepClone() },
            ["steps"] = new JsonArray([.. reports.Select((r, i) => new JsonObject { ["uses"] = Uses(history!, i), ["report"] = r.Path })]),
        };
    }

    private static byte[] Readme(string name, JsonObject network)
    {
        static string Values(JsonNode? values) => string.Concat(values!.AsArray().Select(v => $"  {(string)v!["name"]!}: {v["type"]?.ToString() ?? "not a tensor"} {v["shape"]?.ToJsonString() ?? "of any shape"}\n"));
        return Encoding.UTF8.GetBytes($"""
            {name}

            model.onnx     the network, ONNX opset {network["opset"]}
            manifest.json  digests and sizes of all files, inputs and outputs, and the recipe: how the network was made
            report.json    what was gained; the report of each step is under reports/

            Inputs
            {Values(network["inputs"])}
            Outputs
            {Values(network["outputs"])}
            Check that nothing was changed on the way, and who made it:
              tinyml verify {name}.tar.gz
            provenance.dsse.json, the first file of the archive, is what it was made of and how, signed; sbom.cdx.json
            says what it consists of. A symbol in a shape, such as a batch, may be any number.

            Run it with ONNX Runtime (https://onnxruntime.ai), for example in Python:
              import onnxruntime
              session = onnxruntime.InferenceSession("model.onnx")
              outputs = session.run(None, inputs)   # inputs: a dictionary of NumPy arrays by name

            """.ReplaceLineEndings("\n"));
    }
}
