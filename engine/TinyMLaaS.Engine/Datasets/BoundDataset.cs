using System.Runtime.InteropServices;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>A dataset held against a network's inputs. Can be read any number of times.</summary>
public sealed class BoundDataset
{
    private readonly DatasetFiles _files;
    private readonly IReadOnlyList<Source> _sources;
    private readonly SampleFeeder[] _feeders;

    private BoundDataset(DatasetFiles files, IReadOnlyList<Source> sources, SampleFeeder[] feeders, int count)
    {
        _files = files;
        _sources = sources;
        _feeders = feeders;
        Count = count;
        Carried = [.. sources.Select((s, i) => (s.Output, Input: i)).Where(s => s.Output is not null).Select(s => new CarriedInput(s.Input, s.Output!))];
    }

    /// <summary>Samples, without those skipped and the limit applied; a sample of several windows counts once.</summary>
    public int Count { get; }

    /// <summary>Network inputs that one sample becomes, at least 1.</summary>
    public long FeedsPerSample => _feeders[0].Windows;

    /// <summary>True when every sample has a class.</summary>
    public bool HasLabels => _files.Labels is not null;

    /// <summary>How a sample becomes several network inputs; null when it is one.</summary>
    public DatasetWindow? Window => _files.Definition.Window;

    /// <summary>Inputs that carry state from one feed of a sample to the next; whoever runs the network passes it on.</summary>
    public IReadOnlyList<CarriedInput> Carried { get; }

    /// <summary>The samples in order, one in memory at a time.</summary>
    /// <exception cref="Transformers.TransformRejectedException"><c>invalid-dataset</c>: a file ends early, or a value is not finite or does not fit the input's type.</exception>
    public IEnumerable<Sample> Samples()
    {
        var readers = new List<IEnumerator<ReadOnlyMemory<byte>>>();
        var skip = _files.Definition.Skip;
        var labels = _files.Labels?.Read(skip, Count).GetEnumerator();
        try
        {
            foreach (var feeder in _feeders)
                readers.Add(feeder.Array.Read(skip, Count).GetEnumerator());
            for (var index = 0; index < Count; index++)
            {
                foreach (var reader in readers)
                    reader.MoveNext();
                labels?.MoveNext();
                yield return new Sample(index, labels is null ? null : Label(labels.Current.Span, _files.Labels!.Type), Feeds(readers, skip + index));
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
        var bound = new List<(InputDefinition Input, ArrayFile? Array)>();
        foreach (var input in inputs)
        {
            var found = inputs.Count == 1 && files.Inputs.Count == 1 ? files.Inputs[0] : files.Inputs.FirstOrDefault(i => i.Input.Name == input.Name);
            bound.Add(found.Input is not null ? found : throw DatasetErrors.Invalid(
                $"The dataset '{files.Path}' has no array for the network's input {input}; it has {Names(files)}. Name one of them '{input.Name}' in {DatasetFiles.YamlName}, or give the input a value there."));
        }
        if (files.IsExplicit && files.Inputs.Select(i => i.Input).FirstOrDefault(i => !bound.Exists(b => ReferenceEquals(b.Input, i))) is { } extra)
            throw DatasetErrors.Invalid($"The dataset '{files.Path}' names an input '{extra.Name}', which the network does not have; it has {string.Join(", ", inputs.Select(i => $"'{i.Name}'"))}.");
        Source[] sources = [.. bound.Select((b, i) => b.Array is { } array
            ? new Source(new SampleFeeder(b.Input, array, inputs[i], files.Definition.Window), null, null)
            : new Source(null, SampleFeeder.Fill(inputs[i], b.Input.Value), b.Input.FromOutput))];
        SampleFeeder[] feeders = [.. sources.Select(s => s.Feeder).OfType<SampleFeeder>()];
        var (skip, limit) = (files.Definition.Skip, (long)(files.Definition.Limit ?? int.MaxValue));
        ArrayFile[] arrays = [.. feeders.Select(f => f.Array), .. files.Labels is null ? [] : new[] { files.Labels }];
        var shortest = arrays.MinBy(a => a.Count);
        foreach (var array in arrays)
        {
            if (Math.Min(array.Count - skip, limit) != Math.Min(shortest!.Count - skip, limit))
                throw DatasetErrors.Invalid($"The dataset '{files.Path}' counts differently: {array.Label} has {array.Count} samples, {shortest.Label} has {shortest.Count}. Make them equal or set a limit of at most {Math.Max(0, shortest.Count - skip)}.");
        }
        if (feeders.Length == 0 || shortest is null || shortest.Count == 0)
            throw DatasetErrors.Invalid($"The dataset '{files.Path}' has no sample for this network.");
        if (shortest.Count <= skip)
            throw DatasetErrors.Invalid($"The dataset '{files.Path}' skips {skip} samples, and {shortest.Label} has {shortest.Count}; skip fewer.");
        if (feeders.FirstOrDefault(f => f.Windows != feeders[0].Windows) is { } odd)
            throw DatasetErrors.Invalid($"A sample has {odd.Windows} windows in {odd.Array.Label} and {feeders[0].Windows} in {feeders[0].Array.Label}; the first axes must agree.");
        return new BoundDataset(files, sources, feeders, (int)Math.Min(limit, shortest.Count - skip));
    }

    private static string Names(DatasetFiles files) => string.Join(", ", files.Inputs.Take(20).Select(i => $"'{i.Input.Name}'"));

    private IEnumerable<Feed> Feeds(List<IEnumerator<ReadOnlyMemory<byte>>> readers, int index)
    {
        for (long window = 0; window < FeedsPerSample; window++)
        {
            var reader = 0;
            yield return new Feed([.. _sources.Select(s => s.Feeder is { } feeder ? feeder.Feed(readers[reader++].Current.Span, window, index) : s.Made!)], window, Carried);
        }
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

    /// <summary>What feeds an input: an array, or a tensor that is the same for the first feed of every sample.</summary>
    private sealed record Source(SampleFeeder? Feeder, Tensor? Made, string? Output);
}
