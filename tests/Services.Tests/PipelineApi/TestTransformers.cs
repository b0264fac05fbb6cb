using System.Text.Json;
using TinyMLaaS.Contracts.Transformers;

namespace TinyMLaaS.Services.Tests.PipelineApi;

/// <summary>Descriptors as workers announce them.</summary>
internal static class TestTransformers
{
    public static TransformerDescriptor Fuse { get; } = Descriptor("compiler/fuse", ["onnx"], "onnx", """{"type":"object","additionalProperties":false,"properties":{}}""");

    public static TransformerDescriptor Quantize { get; } = Descriptor(
        "compiler/quantize", ["onnx"], "onnx",
        """
        {"type":"object","additionalProperties":false,"properties":{
          "calibration":{"type":"string","enum":["min-max","mse"],"default":"min-max"},
          "samples":{"type":"integer","minimum":1,"maximum":1000},
          "ratio":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1},
          "limit":{"type":["integer","null"],"minimum":1},
          "per-channel":{"type":"boolean"},
          "exclude":{"type":"array","items":{"type":"string"}}}}
        """,
        new() { ["calibrate"] = true });

    public static TransformerDescriptor Evaluate { get; } = Descriptor("compiler/evaluate", ["onnx"], "report", """{"type":"object"}""", new() { ["evaluate"] = true }) with { Listed = false };

    public static TransformerDescriptor Bundle { get; } = Descriptor("installer/bundle", ["onnx"], "bundle", """{"type":"object","additionalProperties":false,"properties":{}}""");

    public static WorkerAnnounced Compiler { get; } = Announced("compiler", Fuse, Quantize, Evaluate);

    public static WorkerAnnounced Installer { get; } = Announced("installer", Bundle);

    public static WorkerAnnounced Announced(string worker, params TransformerDescriptor[] transformers) => new()
    {
        Worker = worker,
        Instance = worker + "-1",
        Queue = $"v1.offer.any.{worker}",
        Slots = 1,
        Transformers = transformers,
        At = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
    };

    private static TransformerDescriptor Descriptor(string name, string[] accepts, string produces, string options, Dictionary<string, bool>? datasets = null) => new()
    {
        Name = name,
        Version = "1",
        Summary = "For tests.",
        Accepts = accepts,
        Produces = produces,
        Datasets = datasets ?? [],
        Options = JsonElement.Parse(options),
    };
}
