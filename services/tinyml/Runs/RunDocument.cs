using TinyMLaaS.Contracts;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>The document of <c>run --json</c>.</summary>
internal sealed record RunDocument
{
    /// <summary>The run; absent when the server took none on.</summary>
    public Guid? Run { get; init; }

    /// <summary>A state of the run, or <c>rejected</c>.</summary>
    public required string State { get; init; }

    public EvaluationFigures? Evaluation { get; init; }

    public NetworkFigures? Before { get; init; }

    public NetworkFigures? After { get; init; }

    public IReadOnlyList<StepFigures> Steps { get; init; } = [];

    public IReadOnlyList<OutputFile> Outputs { get; init; } = [];

    public IReadOnlyList<Violation> Problems { get; init; } = [];
}

/// <summary>A metric before and after, a fraction where it is one.</summary>
internal sealed record EvaluationFigures
{
    public required string Metric { get; init; }

    public double? Before { get; init; }

    public double? After { get; init; }
}

/// <summary>An ONNX file in numbers.</summary>
internal sealed record NetworkFigures
{
    public long? Bytes { get; init; }

    public long? Parameters { get; init; }

    public long? Macs { get; init; }

    /// <summary>Only in the document of <c>demo</c>.</summary>
    public double? Top1 { get; init; }

    /// <summary>Median at batch 1 on 1 thread in ONNX Runtime; only in the document of <c>demo</c>.</summary>
    public double? LatencyMs { get; init; }
}

/// <summary>A step of a run.</summary>
internal sealed record StepFigures
{
    public required string Uses { get; init; }

    public required string State { get; init; }

    public double? Seconds { get; init; }

    public bool Cached { get; init; }

    /// <summary>Path of its report.</summary>
    public string? Report { get; init; }
}

/// <summary>A file that the command wrote.</summary>
internal sealed record OutputFile
{
    public required string Path { get; init; }

    public required string Kind { get; init; }

    public required long Bytes { get; init; }

    public required string Digest { get; init; }
}
