using System.Runtime.InteropServices;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>A dataset held against a network's inputs. Can be read any number of times.</summary>
public sealed class BoundDataset
{
    private readonly DatasetFiles _files;
    private readonly IReadOnlyList<SampleFeeder> _feeders;

    private BoundDataset(DatasetFiles files, IReadOnlyList<SampleFeeder> feeders, int count)
    {
        _files = files;
        _feeders = feeders;
        Count = count;
    }

    /// <summary>Samples, the limit applied; a sample of several windows counts once.</summary>
    public int Count { get; }

    /// <summary>Network inputs that one sample becomes, at least 1.</summary>
    public long FeedsPerSample => _feeders.Count == 0 ? 1 : _feeders[0].Windows;

    /// <summary>True when every sample has a class.</summary>
    public bool HasLabels => _files.Labels is not null;

    /// <summary>How a sample becomes several network inputs; null when it is one.</summary>
    public DatasetWindow? Window => _files.Definition.Window;

    /// <summary>The samples in order, one in memory at a time.</summary>
    /// <exception cref="Transformers.TransformRejectedException"><c>invalid-dataset</c>: a file ends early, or a value is not finite or does not fit the input's type.</exception>
    public IEnumerable<Sample> Samples()
    {
        var readers = new List<IEnumerator<ReadOnlyMemory<byte>>>();
        var labels = _files.Labels?.Read(Count).GetEnumerator();
        try
        {
            foreach (var feeder in _feeders)
                readers.Add(feeder.Array.Read(Count).GetEnumerator());
            for (var index = 0; index < Count; index++)
            {
                foreach (var reader in readers)
                    reader.MoveNext();
                labels?.MoveNext();
                yield return new Sample(index, labels is null ? null : Label(labels.Current.Span, _files.Labels!.Type), Feeds(readers, index));
            }
        }
        finally
        {
            foreach (var reader in readers)
                reader.Dispose();
            labels?.Dispose();
        }
    }

    internal static BoundDataset Bind(DatasetFiles files, IReadOnlyList<SampleInput> inputs)
    {
        var bound = new List<(InputDefinition Input, ArrayFile Array)>();
        foreach (var input in inputs)
        {
            var found = inputs.Count == 1 && files.Inputs.Count == 1 ? files.Inputs[0] : files.Inputs.FirstOrDefault(i => i.Input.Name == input.Name);
            bound.Add(found.Array is not null ? found : throw DatasetErrors.Invalid(
                $"The dataset '{files.Path}' has no array for the network's input {input}; it has {Names(files)}. Name one of them '{input.Name}' in {DatasetFiles.YamlName}."));
        }
        if (files.IsExplicit && files.Inputs.Select(i => i.Input).FirstOrDefault(i => !bound.Exists(b => ReferenceEquals(b.Input, i))) is { } extra)
            throw DatasetErrors.Invalid($"The dataset '{files.Path}' names an input '{extra.Name}', which the network does not have; it has {string.Join(", ", inputs.Select(i => $"'{i.Name}'"))}.");
        var feeders = bound.Select((b, i) => new SampleFeeder(b.Input, b.Array, inputs[i], files.Definition.Window)).ToArray();
        long limit = files.Definition.Limit ?? int.MaxValue;
        ArrayFile[] arrays = [.. bound.Select(b => b.Array), .. files.Labels is null ? [] : new[] { files.Labels }];
        var shortest = arrays.MinBy(a => a.Count);
        foreach (var array in arrays)
        {
            if (Math.Min(array.Count, limit) != Math.Min(shortest!.Count, limit))
                throw DatasetErrors.Invalid($"The dataset '{files.Path}' counts differently: {array.Label} has {array.Count} samples, {shortest.Label} has {shortest.Count}. Make them equal or set a limit of at most {shortest.Count}.");
        }
        if (shortest is null || shortest.Count == 0)
            throw DatasetErrors.Invalid($"The dataset '{files.Path}' has no sample for this network.");
        if (feeders.FirstOrDefault(f => f.Windows != feeders[0].Windows) is { } odd)
            throw DatasetErrors.Invalid($"A sample has {odd.Windows} windows in {odd.Array.Label} and {feeders[0].Windows} in {feeders[0].Array.Label}; the first axes must agree.");
        return new BoundDataset(files, feeders, (int)Math.Min(limit, shortest.Count));
    }

    private static string Names(DatasetFiles files) => string.Join(", ", files.Inputs.Take(20).Select(i => $"'{i.Input.Name}'"));

    private IEnumerable<IReadOnlyList<Tensor>> Feeds(List<IEnumerator<ReadOnlyMemory<byte>>> readers, int index)
    {
        for (long window = 0; window < FeedsPerSample; window++)
            yield return [.. _feeders.Select((f, i) => f.Feed(readers[i].Current.Span, window, index))];
    }

    private static long Label(ReadOnlySpan<byte> bytes, ElementType type) => type switch
    {
        ElementType.UInt8 or ElementType.Bool => bytes[0],
        ElementType.Int8 => (sbyte)bytes[0],
        ElementType.Int16 => MemoryMarshal.Read<short>(bytes),
        ElementType.UInt16 => MemoryMarshal.Read<ushort>(bytes),
        ElementType.Int32 => MemoryMarshal.Read<int>(bytes),
        ElementType.UInt32 => MemoryMarshal.Read<uint>(bytes),
        ElementType.Int64 => MemoryMarshal.Read<long>(bytes),
        _ => (long)Math.Min(long.MaxValue, MemoryMarshal.Read<ulong>(bytes)),
    };
}
