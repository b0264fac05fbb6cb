using System.Collections;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>What goes into a network once: one tensor for each input, in the network's order, with a batch of 1.</summary>
public sealed class Feed : IReadOnlyList<Tensor>
{
    private readonly IReadOnlyList<Tensor> _tensors;

    internal Feed(IReadOnlyList<Tensor> tensors, long place, IReadOnlyList<CarriedInput> carried)
    {
        _tensors = tensors;
        Place = place;
        Carried = carried;
    }

    /// <summary>Place among the feeds of its sample, counting from 0.</summary>
    public long Place { get; }

    /// <summary>Inputs that take what an output gave for the feed before, from the second feed of a sample on. Their tensors here are what the first feed takes.</summary>
    public IReadOnlyList<CarriedInput> Carried { get; }

    /// <inheritdoc/>
    public int Count => _tensors.Count;

    /// <inheritdoc/>
    public Tensor this[int index] => _tensors[index];

    /// <summary>The same feed with memory of its own, so that it outlives its sample.</summary>
    public Feed Copy() => new([.. _tensors.Select(t => Tensor.FromBytes(t.Type, t.Shape.AsSpan(), t.Bytes.ToArray()))], Place, Carried);

    /// <inheritdoc/>
    public IEnumerator<Tensor> GetEnumerator() => _tensors.GetEnumerator();

    /// <inheritdoc/>
    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

/// <summary>An input that carries state from one feed of a sample to the next.</summary>
/// <param name="Input">Place among the network's inputs.</param>
/// <param name="Output">Name of the output whose content it takes.</param>
public readonly record struct CarriedInput(int Input, string Output);
