using Microsoft.ML.OnnxRuntime;

namespace TinyMLaaS.ModelServer;

/// <summary>An input or output of a network.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its element type.</param>
/// <param name="Shape">Its dimensions; -1 where any is taken.</param>
internal sealed record TensorInfo(string Name, DataType Type, IReadOnlyList<long> Shape);

/// <summary>A network that is served.</summary>
internal sealed class ServedModel : IDisposable
{
    private readonly InferenceSession _session;

    static ServedModel() => OrtEnv.Instance().DisableTelemetryEvents();

    private ServedModel(string name, string? digest, InferenceSession session)
    {
        Name = name;
        Digest = digest;
        _session = session;
        Inputs = [.. session.InputNames.Select(n => Describe(name, "input", n, session.InputMetadata[n]))];
        Outputs = [.. session.OutputNames.Select(n => Describe(name, "output", n, session.OutputMetadata[n]))];
    }

    public string Name { get; }

    /// <summary>A package holds one version of a model; another is another package.</summary>
    public const string Version = "1";

    /// <summary>What the file was checked against; null where nothing said what it should be.</summary>
    public string? Digest { get; }

    public IReadOnlyList<TensorInfo> Inputs { get; }

    public IReadOnlyList<TensorInfo> Outputs { get; }

    /// <summary>Loads a network.</summary>
    /// <param name="name">As requests name it.</param>
    /// <param name="digest">See <see cref="Digest"/>.</param>
    /// <param name="content">An ONNX file without external data.</param>
    /// <param name="threads">Threads of one inference.</param>
    /// <exception cref="ModelException">ONNX Runtime does not take it, or it has an input or output that the protocol cannot carry.</exception>
    public static ServedModel Load(string name, string? digest, byte[] content, int threads)
    {
        using var options = new Microsoft.ML.OnnxRuntime.SessionOptions
        {
            IntraOpNumThreads = threads,
            InterOpNumThreads = 1,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            // Errors come back as exceptions: what a client sent is not for the log.
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
        };
        options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
        try
        {
            return new ServedModel(name, digest, new InferenceSession(content, options));
        }
        catch (OnnxRuntimeException error)
        {
            throw new ModelException($"Model '{name}' cannot be loaded: {error.Message}");
        }
    }

    /// <summary>Runs it; the outputs in the order that was asked for, to be disposed of by the caller.</summary>
    /// <exception cref="RefusedException">It does not take these inputs, or takes too long.</exception>
    public IDisposableReadOnlyCollection<OrtValue> Run(IReadOnlyList<string> names, IReadOnlyList<OrtValue> inputs, IReadOnlyList<string> outputs, TimeSpan limit, CancellationToken cancellation)
    {
        using var options = new RunOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        end.CancelAfter(limit);
        using var stop = end.Token.Register(() => options.Terminate = true);
        try
        {
            return _session.Run(options, [.. names], [.. inputs], [.. outputs]);
        }
        catch (OnnxRuntimeException error)
        {
            cancellation.ThrowIfCancellationRequested();
            if (end.IsCancellationRequested)
                throw new RefusedException(503, "time-limit", $"Model '{Name}' had not answered after {limit.TotalSeconds:0} s, the limit of this server.");
            throw new RefusedException(400, "not-runnable", $"Model '{Name}' does not take these inputs: {error.Message}");
        }
    }

    public void Dispose() => _session.Dispose();

    private static TensorInfo Describe(string model, string side, string name, NodeMetadata metadata) =>
        metadata.IsTensor && DataType.Of(metadata.IsString ? Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.String : metadata.ElementDataType) is { } type
            ? new TensorInfo(name, type, [.. metadata.Dimensions.Select(d => (long)d)])
            : throw new ModelException($"Model '{model}' cannot be served: its {side} '{name}' is no tensor of a type that the Open Inference Protocol knows.");
}

/// <summary>A network that cannot be served.</summary>
internal sealed class ModelException(string message) : Exception(message);
