using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// Samples that go on where the one before them ended: one of their arrays holds what the float network's output gave for the sample before. A rounded network will not be fed that state but its own, so
/// its error has to be measured that way, or it looks far smaller than it is.
/// </summary>
internal static class StoredState
{
    private const int MostFeeds = 4096;

    // What storing and another machine's sums may change of a state, as a share of its energy.
    private const double LargestDifference = 1e-6;

    /// <summary>The samples in order, as feeds that carry the state on; null where the samples hold none.</summary>
    /// <param name="session">The float network.</param>
    /// <param name="bound">The samples.</param>
    /// <param name="feeds">The most of them.</param>
    public static List<Feed>? Find(RuntimeSession session, BoundDataset bound, long feeds)
    {
        if (bound.Carried.Count > 0 || bound.FeedsPerSample > 1 || bound.Count < 2)
            return null;
        CarriedInput[] carried = [.. Enumerable.Range(0, session.Inputs.Count).Where(i => session.Inputs[i] is { Type: ElementType.Float, Shape.Length: > 0 })
            .SelectMany(i => session.OutputNames.Where(o => session.WhyNotCarry(session.Inputs[i], o) is null).Select(o => new CarriedInput(i, o)))];
        var result = new List<Feed>();
        Dictionary<string, Tensor>? before = null;
        long place = 0;
        foreach (var sample in bound.Samples())
        {
            if (carried.Length == 0)
                return null;
            if (result.Count >= Math.Min(feeds, MostFeeds))
                break;
            var tensors = sample.Feeds.Single().Copy();
            if (result.Count == 1)
                carried = [.. carried.Where(c => IsSame(before![c.Output], tensors[c.Input])).DistinctBy(c => c.Input)];
            place = before is not null && carried.All(c => IsSame(before[c.Output], tensors[c.Input])) ? place + 1 : 0;
            result.Add(new Feed([.. tensors], place, carried));
            var outputs = session.Run([.. tensors]);
            before = carried.Select(c => c.Output).Distinct().ToDictionary(o => o, o => outputs[session.OutputNames.ToList().IndexOf(o)], StringComparer.Ordinal);
        }
        // The first feed was made before anything was known.
        return carried.Length == 0 ? null : [new Feed([.. result[0]], 0, carried), .. result.Skip(1)];
    }

    private static bool IsSame(Tensor given, Tensor stored)
    {
        var a = given.As<float>();
        var b = stored.As<float>();
        if (a.Length != b.Length)
            return false;
        double signal = 0, difference = 0;
        for (var i = 0; i < a.Length; i++)
        {
            signal += (double)a[i] * a[i];
            difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        }
        return signal > 0 && difference <= LargestDifference * signal;
    }
}
