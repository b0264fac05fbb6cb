using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Transformers;
using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace TinyMLaaS.Engine.OnnxRuntime;

/// <summary>
/// A network in ONNX Runtime on the CPU: a fixed number of threads that do not spin, no telemetry. The same feeds give the same outputs bit for bit.
/// For one thread at a time. A session remembers the outputs that a dataset carries over, from one feed of a sample to the next.
/// </summary>
public sealed class RuntimeSession : IDisposable
{
    private readonly InferenceSession _session;
    private readonly RunOptions _runOptions = new();
    private readonly CancellationTokenRegistration _registration;
    private readonly CancellationToken _cancellation;
    private readonly Dictionary<string, Tensor> _carried = new(StringComparer.Ordinal);
    private readonly string[] _inputNames;
    private readonly OrtValue?[] _fed;

    static RuntimeSession() => OrtEnv.Instance().DisableTelemetryEvents();

    private RuntimeSession(InferenceSession session, CancellationToken cancellation)
    {
        _session = session;
        _cancellation = cancellation;
        Inputs = [.. session.InputNames.Select(n => InputOf(n, session.InputMetadata[n]))];
        OutputNames = [.. session.OutputNames];
        _inputNames = [.. session.InputNames];
        _fed = new OrtValue?[_inputNames.Length];
        _registration = cancellation.Register(() => _runOptions.Terminate = true);
    }

    /// <summary>What the network asks for, in order.</summary>
    public IReadOnlyList<SampleInput> Inputs { get; }

    /// <summary>Names of the outputs, in order.</summary>
    public IReadOnlyList<string> OutputNames { get; }

    /// <summary>Element type of an output; <see cref="ElementType.Undefined"/> when it is no tensor.</summary>
    public ElementType OutputType(string name) =>
        _session.OutputMetadata[name] is { IsTensor: true } metadata ? (ElementType)(int)metadata.ElementDataType : ElementType.Undefined;

    /// <summary>Loads a network.</summary>
    /// <param name="model">The bytes of an ONNX file without external data.</param>
    /// <param name="level">How much ONNX Runtime may rewrite it.</param>
    /// <param name="threads">Threads that one operator may use, at least 1.</param>
    /// <param name="optimizedPath">Where ONNX Runtime shall write the network as rewritten; null for nowhere.</param>
    /// <param name="cancellation">Ends a run that is under way, between two operators.</param>
    /// <exception cref="TransformRejectedException"><c>model-not-runnable</c>: ONNX Runtime does not take the network, or an input of it is no tensor.</exception>
    /// <exception cref="InsufficientMemoryException">The process may not have as much memory as the network needs.</exception>
    public static RuntimeSession Open(byte[] model, GraphOptimizationLevel level = GraphOptimizationLevel.ORT_ENABLE_ALL, int threads = 1, string? optimizedPath = null, CancellationToken cancellation = default)
    {
        using var options = new SessionOptions
        {
            GraphOptimizationLevel = level,
            IntraOpNumThreads = threads,
            InterOpNumThreads = 1,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            // Errors come back as exceptions; nothing of what a user sent goes to the process's standard error.
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
        };
        options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
        if (optimizedPath is not null)
            options.OptimizedModelFilePath = optimizedPath;
        try
        {
            return new RuntimeSession(new InferenceSession(model, options), cancellation);
        }
        catch (OnnxRuntimeException e)
        {
            RethrowIfOutOfMemory(e);
            throw new TransformRejectedException("model-not-runnable", $"ONNX Runtime does not load the network: {e.Message}", e);
        }
    }

    /// <summary>Settles what of a dataset feeds this network.</summary>
    /// <exception cref="TransformRejectedException">As <see cref="Dataset.Bind"/>; <c>invalid-dataset</c> also for an output to carry over that the network does not have, or has with another type or rank.</exception>
    public BoundDataset Bind(Dataset dataset)
    {
        var bound = dataset.Bind(Inputs);
        var violations = bound.Carried.Select(c => WhyNotCarry(Inputs[c.Input], c.Output)).OfType<string>().ToArray();
        return violations.Length == 0 ? bound : throw new TransformRejectedException("invalid-dataset", string.Join('\n', violations));
    }

    /// <summary>What <see cref="Run(IReadOnlyList{Tensor})"/> would pass in for a feed now: state that is carried over stands in its place.</summary>
    public IReadOnlyList<Tensor> Fed(IReadOnlyList<Tensor> feed)
    {
        if (feed is not Feed { Place: > 0, Carried.Count: > 0 } later)
            return feed;
        Tensor[] tensors = [.. later];
        foreach (var (input, output) in later.Carried)
            tensors[input] = _carried.GetValueOrDefault(output, tensors[input]);
        return tensors;
    }

    /// <summary>Runs once and returns all outputs.</summary>
    /// <param name="feed">One tensor for each of <see cref="Inputs"/>, in order. The feeds of a sample that carries state run in their order.</param>
    /// <exception cref="TransformRejectedException"><c>model-not-runnable</c>: an operator fails on this feed, or an output is no tensor of numbers.</exception>
    /// <exception cref="InsufficientMemoryException">The process may not have as much memory as the network needs.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public IReadOnlyList<Tensor> Run(IReadOnlyList<Tensor> feed)
    {
        var outputs = new Tensor[OutputNames.Count];
        Run(feed, OutputNames, (index, type, shape, bytes) => outputs[index] = Tensor.FromBytes(type, shape, bytes.ToArray()));
        return outputs;
    }

    /// <summary>Runs once and shows each asked output in turn; its bytes are valid during the call only.</summary>
    internal void Run(IReadOnlyList<Tensor> feed, IReadOnlyList<string> outputNames, OutputVisitor visit)
    {
        _cancellation.ThrowIfCancellationRequested();
        string[] carried = feed is Feed { Carried.Count: > 0 } stateful ? [.. stateful.Carried.Select(c => c.Output).Distinct()] : [];
        var names = carried.Length == 0 ? outputNames : [.. outputNames.Union(carried)];
        try
        {
            var fed = Fed(feed);
            for (var i = 0; i < _fed.Length; i++)
                Take(i, fed[i]);
            using var outputs = _session.Run(_runOptions, _inputNames, _fed!, names);
            for (var i = 0; i < outputs.Count; i++)
            {
                if (!outputs[i].IsTensor || outputs[i].GetTensorTypeAndShape() is not { IsString: false } info)
                    throw new TransformRejectedException("model-not-runnable", $"The output '{names[i]}' is no tensor of numbers.");
                var bytes = outputs[i].GetTensorMutableRawData();
                if (carried.Contains(names[i]))
                    _carried[names[i]] = Tensor.FromBytes((ElementType)(int)info.ElementDataType, info.Shape, bytes.ToArray());
                if (i < outputNames.Count)
                    visit(i, (ElementType)(int)info.ElementDataType, info.Shape, bytes);
            }
        }
        catch (OnnxRuntimeException e)
        {
            _cancellation.ThrowIfCancellationRequested();
            RethrowIfOutOfMemory(e);
            throw new TransformRejectedException("model-not-runnable", $"ONNX Runtime cannot run the network: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _registration.Dispose();
        foreach (var value in _fed)
            value?.Dispose();
        _session.Dispose();
        _runOptions.Dispose();
    }

    /// <summary>Copies a tensor to where the runtime reads an input; one piece of memory serves all feeds of one type and shape.</summary>
    private void Take(int input, Tensor tensor)
    {
        var type = (TensorElementType)(int)tensor.Type;
        if (_fed[input]?.GetTensorTypeAndShape() is not { } had || had.ElementDataType != type || !had.Shape.AsSpan().SequenceEqual(tensor.Shape.AsSpan()))
        {
            _fed[input]?.Dispose();
            _fed[input] = null;
            _fed[input] = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, type, [.. tensor.Shape]);
        }
        tensor.Bytes.Span.CopyTo(_fed[input]!.GetTensorMutableRawData());
    }

    /// <summary>Why what an output gives cannot go into an input, or null.</summary>
    internal string? WhyNotCarry(SampleInput input, string output)
    {
        if (!OutputNames.Contains(output))
            return $"The dataset carries the output '{output}' into the input '{input.Name}', but the network has no such output; it has {string.Join(", ", OutputNames.Select(o => $"'{o}'"))}.";
        if (OutputType(output) != input.Type)
            return $"The dataset carries the output '{output}' into the input {input}, but that output is {OutputType(output)}; the two must agree.";
        var extents = _session.OutputMetadata[output].Dimensions;
        return extents.Length == 0 || (extents.Length == input.Shape.Length && extents.Zip(input.Shape).All(p => p.First < 0 || p.Second.Value is null || p.First == p.Second.Value)) ? null
            : $"The dataset carries the output '{output}' into the input {input}, but that output has the shape [{string.Join(',', extents.Select(e => e < 0 ? "?" : e.ToString(CultureInfo.InvariantCulture)))}]; the two must agree.";
    }

    /// <summary>Memory that ends says nothing of the network: with more of it, it may run.</summary>
    private static void RethrowIfOutOfMemory(OnnxRuntimeException e)
    {
        if (e.Message.Contains("bad_alloc", StringComparison.Ordinal) || e.Message.Contains("Failed to allocate memory", StringComparison.Ordinal))
            throw new InsufficientMemoryException($"ONNX Runtime ran out of memory: {e.Message}", e);
    }

    private static SampleInput InputOf(string name, NodeMetadata metadata)
    {
        if (!metadata.IsTensor)
            throw new TransformRejectedException("model-not-runnable", $"The input '{name}' is no tensor; only tensors can be fed.");
        var symbols = metadata.SymbolicDimensions;
        return new SampleInput(name, (ElementType)(int)metadata.ElementDataType,
            [.. metadata.Dimensions.Select((d, i) => d >= 0 ? d : i < symbols.Length && symbols[i].Length > 0 ? (Dimension)symbols[i] : Dimension.Unknown)]);
    }

    /// <summary>Sees an output: its place among the asked ones, type, extents and content.</summary>
    internal delegate void OutputVisitor(int index, ElementType type, ReadOnlySpan<long> shape, ReadOnlySpan<byte> bytes);
}
