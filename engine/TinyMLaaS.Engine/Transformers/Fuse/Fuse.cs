using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Passes;

namespace TinyMLaaS.Engine.Transformers.Fuse;

/// <summary>
/// <c>compiler/fuse</c>: the same function with fewer operators. Folds constants, BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul before it or the Conv behind it,
/// constant factors and summands into weights and biases, padding into Conv and AveragePool; gives Reshapes constant shapes and merges chains of them; moves and merges Transposes;
/// removes what does nothing, repeated and dead code; brings opset 7 to 12 to 13. What it does not touch it leaves as it was.
/// </summary>
public sealed class Fuse : ITransformer
{
    /// <inheritdoc/>
    public TransformerInfo Info { get; } = new()
    {
        Name = "compiler/fuse",
        Version = "3",
        Summary = "Folds constants, batch normalization and added constants into the operators before them, and removes what does nothing.",
        Accepts = ["onnx"],
        Produces = "onnx",
        Options = typeof(FuseOptions),
    };

    /// <inheritdoc/>
    /// <exception cref="TransformRejectedException">
    /// <c>invalid-option</c>: an option is wrong or excludes a node that does not exist; <c>unsupported-opset-upgrade</c>; and what <see cref="OnnxFile.Read(string)"/> throws.
    /// </exception>
    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var options = TransformerOptions.Parse<FuseOptions>(request.Options);
        progress.Report(new TransformProgress(0, "reading the model"));
        var model = OnnxFile.Read(request.InputPath);
        var excluded = Excluded(model.Graph, options.Exclude);
        var opset = model.Opset;
        var before = ModelCosts.Of(model);
        cancellation.ThrowIfCancellationRequested();

        progress.Report(new TransformProgress(0.2, "fusing"));
        var results = PassRunner.Run(model, FusePasses.All, new PassContext(n => excluded.Contains(NameOf(n)), cancellation));

        progress.Report(new TransformProgress(0.8, "writing the model"));
        var output = Path.Combine(request.WorkFolder, "model.onnx");
        OnnxFile.Write(model, output);
        return new TransformResult
        {
            OutputPath = output,
            Report = new JsonObject
            {
                ["before"] = Costs(before, new FileInfo(request.InputPath).Length),
                ["after"] = Costs(ModelCosts.Of(model), new FileInfo(output).Length),
                ["opset"] = new JsonObject { ["before"] = opset, ["after"] = model.Opset },
                ["fused"] = new JsonArray([.. results.SelectMany(r => r.Applied).Select(a => new JsonObject { ["rule"] = a.Rule, ["node"] = a.Node, ["into"] = a.Into })]),
                ["refused"] = new JsonArray([.. results.SelectMany(r => r.Refused).Select(r => new JsonObject { ["rule"] = r.Rule, ["node"] = r.Node, ["reason"] = r.Reason })]),
                ["removed"] = new JsonObject(results.SelectMany(r => r.Removed).Select(r => KeyValuePair.Create(r.Key, (JsonNode?)r.Value))),
            },
        };
    }

    private static HashSet<string> Excluded(Graph graph, IReadOnlyList<string> names)
    {
        var known = AllNodes(graph).Select(NameOf).ToHashSet(StringComparer.Ordinal);
        var wrong = names.Where(n => !known.Contains(n)).Distinct().ToList();
        if (wrong.Count > 0)
            throw new TransformRejectedException("invalid-option", string.Join('\n', wrong.Select(n => $"Option 'exclude': the model has no node named '{n}'. Name one of its nodes, e.g. '{known.FirstOrDefault()}', or leave it out.")));
        return [.. names];
    }

    private static IEnumerable<Node> AllNodes(Graph graph) => graph.Nodes.SelectMany(n => n.Subgraphs.SelectMany(AllNodes).Prepend(n));

    private static string NameOf(Node node) => node.Name.Length > 0 ? node.Name : node.Outputs.First(o => o is not null)!.Name;

    private static JsonObject Costs(ModelCosts costs, long bytes) => new() { ["bytes"] = bytes, ["parameters"] = costs.Parameters, ["macs"] = costs.Macs };
}
