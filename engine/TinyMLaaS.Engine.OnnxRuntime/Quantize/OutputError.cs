using System.Runtime.InteropServices;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// How far a rounded network's outputs lie from the float network's, on a few feeds of the calibration data, spread evenly over it. ONNX Runtime rewrites no more than on every machine alike, so
/// that the figure is that of the arithmetic that the file states and does not depend on which integer kernels a processor has.
/// </summary>
internal sealed class OutputError
{
    private const int MostParts = 64;

    // Of the largest magnitude in a tensor of a feed, to either side: less than the step of any grid of 8 bits that holds it.
    private const double JitterShare = 1 / 512d;

    private readonly List<Feed> _feeds;
    private readonly List<float[][]> _references = [];
    private readonly double[] _signals;
    private readonly string[] _outputs;
    private readonly int _draws = 1;
    private readonly CancellationToken _cancellation;

    /// <param name="model">The float network's bytes.</param>
    /// <param name="dataset">The calibration data.</param>
    /// <param name="feeds">The most feeds to measure on, at least 1. It is never more than 64, but for samples that carry state: then as many samples.</param>
    /// <param name="draws">
    /// Where there are fewer feeds than this, they are measured as often: once themselves, then as copies that differ by less than a grid of 8 bits can tell. A network that amplifies small
    /// differences has another error on each, and on the feed itself another one with other integer kernels. Samples that carry state have no copies.
    /// </param>
    /// <param name="cancellation">Ends the work.</param>
    public OutputError(byte[] model, Dataset dataset, long feeds, int draws, CancellationToken cancellation)
    {
        _cancellation = cancellation;
        using var session = RuntimeSession.Open(model, Level, cancellation: cancellation);
        _outputs = [.. session.OutputNames.Where(o => session.OutputType(o) == ElementType.Float)];
        var bound = session.Bind(dataset);
        var stored = StoredState.Find(session, bound, feeds);
        _feeds = stored ?? Spread(bound, feeds);
        if (stored is null && bound.Carried.Count == 0 && _feeds.Count < draws)
        {
            _draws = draws;
            _feeds = [.. Enumerable.Range(0, draws).SelectMany(d => _feeds.Select(f => d == 0 ? f : Jittered(f, d)))];
        }
        _signals = new double[_outputs.Length];
        foreach (var feed in _feeds)
        {
            var outputs = Run(session, feed);
            for (var i = 0; i < outputs.Length; i++)
                _signals[i] += outputs[i].Sum(v => float.IsFinite(v) ? (double)v * v : 0);
            _references.Add(outputs);
        }
    }

    private static Microsoft.ML.OnnxRuntime.GraphOptimizationLevel Level => Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_ENABLE_BASIC;

    /// <summary>Feeds measured on.</summary>
    public int Feeds => _feeds.Count;

    /// <summary>The feeds.</summary>
    public IReadOnlyList<IReadOnlyList<Tensor>> AllFeeds => _feeds;

    /// <summary>Networks measured so far.</summary>
    public int Measured { get; private set; }

    /// <summary>Measures a network with the same inputs and outputs.</summary>
    public Error Of(byte[] model)
    {
        Measured++;
        using var session = RuntimeSession.Open(model, Level, cancellation: _cancellation);
        var noise = new double[_outputs.Length];
        var draws = new double[_draws];
        for (var f = 0; f < _feeds.Count; f++)
        {
            var outputs = Run(session, _feeds[f]);
            for (var i = 0; i < outputs.Length; i++)
            {
                var expected = _references[f][i];
                for (var j = 0; j < expected.Length; j++)
                {
                    var error = (double)expected[j] - outputs[i][j];
                    if (!float.IsFinite(expected[j]))
                        continue;
                    var squared = double.IsFinite(error) ? error * error : (double)expected[j] * expected[j];
                    noise[i] += squared;
                    draws[f / (_feeds.Count / _draws)] += squared;
                }
            }
        }
        var shares = noise.Select((n, i) => n == 0 ? 0 : n / Math.Max(_signals[i], double.Epsilon)).ToArray();
        var pooled = noise.Sum() == 0 ? 0 : noise.Sum() / Math.Max(_signals.Sum(), double.Epsilon);
        return new Error(pooled, shares.Length == 0 ? 0 : (pooled + shares.Average()) / 2, shares.Length == 0 ? null : _outputs[Array.IndexOf(shares, shares.Max())], shares.DefaultIfEmpty().Max(),
            _draws == 1 ? pooled : draws.Max() * _draws / Math.Max(_signals.Sum(), double.Epsilon));
    }

    /// <summary>A copy of a feed whose floats differ a little, always in the same way for the same draw.</summary>
    private static Feed Jittered(Feed feed, int draw)
    {
        var random = new Random(draw);
        return new Feed([.. feed.Select(Jitter)], feed.Place, feed.Carried);

        Tensor Jitter(Tensor tensor)
        {
            if (tensor.Type != ElementType.Float || tensor.Count == 0)
                return tensor;
            var values = tensor.As<float>().ToArray();
            var most = values.Where(float.IsFinite).Select(Math.Abs).DefaultIfEmpty().Max();
            return Tensor.From<float>(tensor.Shape.AsSpan(), [.. values.Select(v => v + (most * (float)(JitterShare * ((2 * random.NextDouble()) - 1))))]);
        }
    }

    private float[][] Run(RuntimeSession session, Feed feed)
    {
        var results = new float[_outputs.Length][];
        if (_outputs.Length > 0)
            session.Run(feed, _outputs, (index, _, _, bytes) => results[index] = MemoryMarshal.Cast<byte, float>(bytes).ToArray());
        return results;
    }

    /// <summary>Copies of feeds, spread evenly over the data.</summary>
    internal static List<Feed> Spread(BoundDataset bound, long feeds)
    {
        // State that is carried on can only be run from the start of a sample: samples are spread then, and each gives its first feeds. Otherwise each feed stands for itself.
        var isCarried = bound.Carried.Count > 0;
        var total = isCarried ? bound.Count : bound.Count * bound.FeedsPerSample;
        var wanted = Math.Min(Math.Min(feeds, MostParts), total);
        var length = (int)Math.Min(feeds / wanted, bound.FeedsPerSample);
        var chosen = new List<Feed>();
        var (place, taken) = (0L, 0L);
        foreach (var part in bound.Samples().SelectMany(s => isCarried ? [s.Feeds.Take(length)] : s.Feeds.Select(f => (IEnumerable<Feed>)[f])))
        {
            // The first of each of the equal shares that the data is cut into. A feed's memory is its sample's, so it is copied.
            if (place++ != taken * total / wanted)
                continue;
            chosen.AddRange(part.Select(f => f.Copy()));
            if (++taken == wanted)
                break;
        }
        return chosen;
    }

    /// <summary>An error as shares of the signal's energy.</summary>
    /// <param name="Pooled">Over all outputs together.</param>
    /// <param name="Cost">The mean of that and of the outputs' own shares, so that neither large nor small outputs are all that counts; what choices are made by.</param>
    /// <param name="WorstOutput">The output with the largest share.</param>
    /// <param name="Worst">Its share.</param>
    /// <param name="WorstDraw">That of the draw with the largest error; <paramref name="Pooled"/> where there is only one.</param>
    internal readonly record struct Error(double Pooled, double Cost, string? WorstOutput, double Worst, double WorstDraw)
    {
        /// <summary>What the outputs can be relied on to keep: the same for the worst draw.</summary>
        public double ReliableDecibels => InDecibels(WorstDraw);

        /// <summary>10 log10 of signal over noise, pooled; 200 when there is no noise.</summary>
        public double Decibels => InDecibels(Pooled);

        /// <summary>The same for the worst output.</summary>
        public double WorstDecibels => InDecibels(Worst);

        public static double InDecibels(double share) => share == 0 ? 200 : Math.Clamp(-10 * Math.Log10(share), -200, 200);
    }
}
