using System.Globalization;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// Chooses by measured output error, on feeds of the calibration data: the range of each tensor, and what stays float where integers alone do not reach <see cref="EnoughDecibels"/>.
/// <para>Small errors add up independently, so each rounding is measured alone, in a network that is float otherwise; what the sum predicts is then measured as a whole and kept only if it is
/// better; so is the correction of biases. What stays float is chosen greedily by predicted gain for its cost in multiply-accumulates, within <see cref="LargestFloatShare"/> of these and of the bytes of weights.</para>
/// <para>Work is bounded: a fixed number of networks for each tensor, and so few feeds that all of it stays within <see cref="LargestWork"/>.</para>
/// </summary>
internal sealed class QuantizationSearch
{
    /// <summary>Outputs this far above their error need no operator left float.</summary>
    public const double EnoughDecibels = 20;

    /// <summary>Share of multiply-accumulates, and of the bytes of weights, that may stay float.</summary>
    public const double LargestFloatShare = 0.2;

    /// <summary>Outputs nearer to their error than this are of little use: then more than <see cref="LargestFloatShare"/> may stay float, until they reach it.</summary>
    public const double UsableDecibels = 15;

    // On few feeds an error may be small by luck: what choices are kept by is measured this often.
    private const int MostDraws = 8;

    // What operators left float must gain where they do not bring the outputs to that.
    private const double WorthDecibels = 3;

    private const double LargestWork = 1e12;
    private const int MostSteps = 40;

    private const double LeastGainDecibels = 0.1;

    // Less than this is no difference that other samples would show again.
    private const double LeastGain = 0.01;

    // All that follows is measured on the equalized network, which may come out a little otherwise.
    private const double LeastEqualizationGain = 0.05;

    private static readonly CalibrationMethod[] Methods = [CalibrationMethod.Mse, CalibrationMethod.MinMax];

    private readonly IReadOnlySet<string> _excluded;
    private readonly Dataset _dataset;
    private readonly CancellationToken _cancellation;
    private byte[] _fused;
    private QuantizationFacts _facts;
    private Calibration _calibration;
    private WeightGrid _weights;
    private readonly NodeWork _work;
    private readonly OutputError _error;
    private readonly OutputError _whole;
    private readonly Dictionary<string, double> _alone = new(StringComparer.Ordinal);

    private QuantizationSearch(byte[] fused, IReadOnlySet<string> excluded, Calibration calibration, Dataset dataset, WeightGrid weights, CancellationToken cancellation)
    {
        (_dataset, _cancellation) = (dataset, cancellation);
        _fused = fused;
        _facts = new QuantizationFacts(OnnxFile.Read(fused));
        _excluded = excluded;
        _calibration = calibration;
        _weights = weights;
        _work = NodeWork.Measure(fused, dataset, cancellation);
        var plan = Draft(new QuantizationChoice(Methods[0])).Plan;
        var networks = (plan.Tensors.Count * Methods.Length) + plan.Nodes.Count;
        var affordable = (long)Math.Max(1, LargestWork / (Math.Max(1d, _work.Total) * Math.Max(1, networks)));
        _error = new OutputError(fused, dataset, affordable, 1, cancellation);
        var draws = (int)Math.Min(MostDraws, affordable / _error.Feeds);
        _whole = draws > _error.Feeds ? new OutputError(fused, dataset, _error.Feeds, draws, cancellation) : _error;
    }

    /// <summary>Feeds that the error was measured on.</summary>
    public int Feeds => _error.Feeds;

    /// <summary>Networks that were measured.</summary>
    public int Measured => _error.Measured + (_whole == _error ? 0 : _whole.Measured);

    /// <summary>The choice.</summary>
    public QuantizationChoice Choice { get; private set; } = new(Methods[0]);

    /// <summary>Its error.</summary>
    public OutputError.Error Error { get; private set; }

    /// <summary>What correcting biases gained, in dB; null when it gained nothing and was not kept.</summary>
    public double? BiasGain { get; private set; }

    /// <summary>What equalizing channels gained; null when it gained nothing and the network is as it was.</summary>
    public EqualizationGain? Equalization { get; private set; }

    /// <summary>The float network that the choice is for: the fused one, or it with equalized channels.</summary>
    public byte[] Network => _fused;

    /// <summary>How its weights become integers.</summary>
    public WeightGrid Weights => _weights;

    /// <summary>What the tensors of <see cref="Network"/> hold.</summary>
    public Calibration Calibration => _calibration;

    /// <summary>Share of the multiply-accumulates that stay float with it.</summary>
    public double FloatShare => FloatShares(Draft(Choice).Plan).Macs;

    /// <param name="fused">The fused float network.</param>
    /// <param name="excluded">Nodes that the caller excludes, by first output.</param>
    /// <param name="calibration">What all tensors hold that integer operators read or make.</param>
    /// <param name="dataset">The calibration data.</param>
    /// <param name="weights">How weights become integers.</param>
    /// <param name="equalize">Whether channels between operators may be equalized.</param>
    /// <param name="progress">Told the share done, roughly.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static QuantizationSearch Run(byte[] fused, IReadOnlySet<string> excluded, Calibration calibration, Dataset dataset, WeightGrid weights, bool equalize, Action<double> progress, CancellationToken cancellation)
    {
        var search = new QuantizationSearch(fused, excluded, calibration, dataset, weights, cancellation);
        search.Error = search.Measure(search.Choice);
        if (equalize)
            search.Equalize();
        search.ChooseScales();
        search.ChooseRanges(progress);
        search.CorrectBiases(dataset, cancellation);
        search.ChooseFloat(progress);
        return search;
    }

    /// <summary>A draft to look at, not to write.</summary>
    private QuantizationDraft Draft(QuantizationChoice choice) => new(_facts, _excluded, _calibration, choice, _weights);

    private OutputError.Error Measure(QuantizationChoice choice) => _whole.Of(QuantizationDraft.OnCopy(_fused, _excluded, _calibration, choice, _weights).Write());

    /// <summary>With 4 bits, scales that cut the largest weights may serve better; with 8 they never did.</summary>
    private void ChooseScales()
    {
        if (_weights.Bits == 8)
            return;
        var weights = _weights with { IsLeastSquares = true };
        var error = _whole.Of(QuantizationDraft.OnCopy(_fused, _excluded, _calibration, Choice, weights).Write());
        if (error.Cost < Error.Cost * (1 - LeastGain))
            (_weights, Error) = (weights, error);
    }

    /// <summary>Takes the equalized network where rounding disturbs its outputs less than the network's own.</summary>
    private void Equalize()
    {
        var (plain, own) = (Error, _calibration);
        var fused = _fused;
        foreach (var basis in Enum.GetValues<EqualizationBasis>())
        {
            var model = OnnxFile.Read(fused);
            var integer = Draft(Choice).Plan.Nodes.Select(QuantizationDraft.Key).ToHashSet();
            var equalization = CrossLayerEqualization.Of(model.Graph, n => integer.Contains(QuantizationDraft.Key(n)));
            if (equalization.Pairs.Count == 0)
                return;
            var between = equalization.Between.Where(t => own.Statistics.ContainsKey(t)).ToHashSet(StringComparer.Ordinal);
            equalization.Apply(basis == EqualizationBasis.Weights ? null : ChannelMagnitudes(fused, equalization.Pairs));
            var candidate = OnnxFile.ToBytes(model);
            var calibration = Calibration.Run(model, between, _dataset, 1, _ => { }, _cancellation).With(own);
            var error = _whole.Of(QuantizationDraft.OnCopy(candidate, _excluded, calibration, Choice, _weights).Write());
            if (error.Cost >= Error.Cost * (1 - LeastEqualizationGain))
                continue;
            (_fused, _facts, _calibration, Error) = (candidate, new QuantizationFacts(OnnxFile.Read(candidate)), calibration, error);
            Equalization = new EqualizationGain(basis, [.. equalization.Pairs.Select(p => (p.First.Label, p.Second.Label))], error.Decibels - plain.Decibels);
        }
    }

    /// <summary>The largest magnitude in each channel of what the second operator of each pair reads, on the feeds that errors are measured on.</summary>
    private Func<Node, double[]> ChannelMagnitudes(byte[] fused, IReadOnlyList<(Node First, Node Second)> pairs)
    {
        var copy = OnnxFile.Read(fused);
        string[] names = [.. pairs.Select(p => p.Second.Input(0)!.Name).Distinct()];
        foreach (var name in names.Where(n => !copy.Graph.Find(n)!.IsOutput))
            copy.Graph.AddOutput(copy.Graph.Find(name)!);
        using var session = RuntimeSession.Open(OnnxFile.ToBytes(copy), Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_DISABLE_ALL, cancellation: _cancellation);
        var magnitudes = new Dictionary<string, double[]>(StringComparer.Ordinal);
        foreach (var feed in _error.AllFeeds)
        {
            session.Run(feed, names, (index, _, shape, bytes) =>
            {
                if (!magnitudes.TryGetValue(names[index], out var channels))
                    magnitudes.Add(names[index], channels = new double[shape[1]]);
                var values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes);
                var run = (int)Tensor.CountOf(shape[2..]);
                for (var i = 0; i < values.Length; i++)
                    channels[i / run % channels.Length] = Math.Max(channels[i / run % channels.Length], Math.Abs(values[i]));
            });
        }
        return node => magnitudes[node.Input(0)!.Name];
    }

    private void ChooseRanges(Action<double> progress)
    {
        foreach (var method in Methods.Skip(1))
            KeepIfBetter(new QuantizationChoice(method));
        var drafts = Methods.Select(m => Draft(new QuantizationChoice(m))).ToArray();
        var mixed = Choice;
        var groups = drafts[0].Plan.Tensors.GroupBy(drafts[0].Plan.Representative).Select(g => g.Select(t => t.Name).ToArray()).ToArray();
        for (var g = 0; g < groups.Length; g++)
        {
            progress(0.5 * g / groups.Length);
            var best = (Method: Choice.Method, Cost: double.PositiveInfinity);
            var seen = new HashSet<QuantizationParameters>();
            // The method that is best for all comes first, and another must be better by more than chance.
            foreach (var draft in Methods.Zip(drafts).OrderBy(d => d.First == Choice.Method ? 0 : 1))
            {
                Value[] tensors = [.. groups[g].Select(t => draft.Second.Model.Graph.Find(t)!)];
                if (!draft.Second.Grids.TryGetValue(tensors[0], out var grid) || !seen.Add(grid))
                    continue;
                var cost = Alone(draft.Second, tensors);
                if (cost < best.Cost * (1 - LeastGain))
                    best = (draft.First, cost);
            }
            if (best.Method != Choice.Method)
                mixed = mixed with { Methods = mixed.Methods.AddRange(groups[g].Select(t => KeyValuePair.Create(t, best.Method))) };
        }
        if (mixed.Methods.Count > 0)
            KeepIfBetter(mixed);
    }

    private void CorrectBiases(Dataset dataset, CancellationToken cancellation)
    {
        var before = Error;
        if (KeepIfBetter(Choice with { BiasShifts = BiasCorrection.Measure(_fused, Draft(Choice), dataset, _weights, cancellation) }))
            BiasGain = Error.Decibels - before.Decibels;
    }

    private bool KeepIfBetter(QuantizationChoice choice)
    {
        var error = Measure(choice);
        if (error.Cost >= Error.Cost * (1 - LeastGain))
            return false;
        (Choice, Error) = (choice, error);
        return true;
    }

    private void ChooseFloat(Action<double> progress)
    {
        var (choice, error) = LeaveFloat(LargestFloatShare, EnoughDecibels, progress);
        if (Math.Max(error.ReliableDecibels, Error.ReliableDecibels) < UsableDecibels)
            (choice, error) = LeaveFloat(1, UsableDecibels, progress);
        // Speed and bytes are given away only for outputs that are near enough then, or usable at last, or have lost half of their noise.
        var reached = error.ReliableDecibels >= EnoughDecibels || (error.ReliableDecibels >= UsableDecibels && Error.ReliableDecibels < UsableDecibels);
        if (error.Decibels >= Error.Decibels + (reached ? LeastGainDecibels : WorthDecibels))
            (Choice, Error) = (choice, error);
    }

    /// <summary>Leaves float one after another what promises most, until the outputs are near enough or the share is used up.</summary>
    private (QuantizationChoice Choice, OutputError.Error Error) LeaveFloat(double largestShare, double enoughDecibels, Action<double> progress)
    {
        var (choice, error) = (Choice, Error);
        var idle = new List<string[]>();
        for (var step = 0; step < MostSteps && error.ReliableDecibels < enoughDecibels; step++)
        {
            progress(0.5 + (0.5 * step / MostSteps));
            if (NextFloat(choice, largestShare) is not { } next)
                break;
            var before = choice.Float.Keys.ToArray();
            var measured = Measure(next);
            var reason = string.Create(CultureInfo.InvariantCulture, $"measured on calibration data: left float, it brings the outputs from {error.Decibels:F1} to {measured.Decibels:F1} dB");
            choice = choice with { Float = choice.Float.AddRange(next.Float.Keys.Except(choice.Float.Keys).Order(StringComparer.Ordinal).Select(k => KeyValuePair.Create(k, reason))) };
            if (measured.Decibels < error.Decibels + LeastGainDecibels)
                idle.Add([.. next.Float.Keys.Except(before)]);
            error = measured;
        }
        // What was promised need not come: what gained nothing then becomes integer again.
        foreach (var keys in idle)
        {
            var without = choice with { Float = choice.Float.RemoveRange(keys) };
            var measured = Measure(without);
            if (measured.Decibels >= error.Decibels - LeastGainDecibels)
                (choice, error) = (without, measured);
        }
        return (choice, error);
    }

    /// <summary>The choice with those nodes left float too that promise most for what they cost, within a share of multiply-accumulates and bytes; null when none promises anything.</summary>
    private QuantizationChoice? NextFloat(QuantizationChoice choice, double largestShare)
    {
        var draft = Draft(choice);
        var predicted = Predicted(draft);
        var (macs, bytes) = FloatShares(draft.Plan);
        (QuantizationChoice Choice, double Rate)? best = null;
        foreach (var block in Blocks(draft.Plan))
        {
            var candidate = choice with { Float = choice.Float.AddRange(block.Select(k => KeyValuePair.Create(k, ""))) };
            var next = Draft(candidate);
            var (nextMacs, nextBytes) = FloatShares(next.Plan);
            if (nextMacs > largestShare || nextBytes > largestShare)
                continue;
            // A weightless operator costs what moving its elements does, which is little but not nothing.
            var rate = (predicted - Predicted(next)) / (nextMacs - macs + (nextBytes - bytes) + 0.001);
            if (rate > 0 && (best is null || rate > best.Value.Rate))
                best = (candidate, rate);
        }
        return best?.Choice;
    }

    /// <summary>Sets of nodes that may become float together: each alone, and all that touch a tensor, since a tensor stays float only when none of them is integer.</summary>
    private static IEnumerable<string[]> Blocks(QuantizationPlan plan)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var absorbed = plan.Absorbed.Values.ToHashSet();
        foreach (var node in plan.Nodes.Where(n => !absorbed.Contains(n)))
        {
            if (QuantizationDraft.Key(node) is { } key && seen.Add(key))
                yield return [key];
        }
        foreach (var tensor in plan.Tensors)
        {
            var maker = tensor.Producer is { } producer && plan.Absorbed.FirstOrDefault(a => ReferenceEquals(a.Value, producer)).Key is { } before ? before : tensor.Producer;
            string[] touching = [.. tensor.Uses.Select(u => u.Node).Append(maker).OfType<Node>().Where(n => plan.IsInteger(n) && !absorbed.Contains(n))
                .Select(QuantizationDraft.Key).OfType<string>().Distinct().Order(StringComparer.Ordinal)];
            if (touching.Length > 1 && seen.Add(string.Join('\n', touching)))
                yield return touching;
        }
    }

    /// <summary>The sum of the errors of all that a draft rounds, each measured alone.</summary>
    private double Predicted(QuantizationDraft draft)
    {
        var tensors = draft.Plan.Tensors.Where(t => draft.Grids.ContainsKey(t) && QuantizationPlan.Given(t) is null && !draft.Plan.IsPassedThrough(t)).Sum(t => Alone(draft, [t]));
        return tensors + draft.Plan.Nodes.Where(QuantizationPlan.HasWeights).Sum(WeightAlone);
    }

    private double Alone(QuantizationDraft draft, Value[] tensors)
    {
        var places = tensors.Where(draft.Grids.ContainsKey).Select(t => (Tensor: t, Grid: draft.Grids[t],
            Readers: draft.Plan.IsMadeByInteger(t) ? null : t.Uses.Where(u => draft.Plan.ReadsAsInteger(u)).Select(u => (Node: QuantizationDraft.Key(u.Node)!, u.Index)).ToHashSet())).ToArray();
        var key = string.Join('\n', places.Select(p => string.Create(CultureInfo.InvariantCulture,
            $"{p.Tensor.Name}|{p.Grid.Scale:R}|{p.Grid.ZeroPoint}|{(p.Readers is null ? "*" : string.Join(',', p.Readers.Select(r => $"{r.Node}:{r.Index}").Order(StringComparer.Ordinal)))}")));
        if (_alone.TryGetValue(key, out var known))
            return known;
        var copy = OnnxFile.Read(_fused);
        foreach (var (name, grid, readers) in places.Select(p => (p.Tensor.Name, p.Grid, p.Readers)))
            Round(copy.Graph, copy.Graph.Find(name)!, grid, readers);
        return _alone[key] = _error.Of(OnnxFile.ToBytes(copy)).Cost;
    }

    private static void Round(Graph graph, Value tensor, QuantizationParameters grid, HashSet<(string, int)>? readers)
    {
        var before = tensor.Producer is { } producer ? producer.Next : graph.First;
        var uses = tensor.Uses.Where(u => readers is null || readers.Contains((QuantizationDraft.Key(u.Node) ?? "", u.Index))).ToArray();
        var (quantized, output) = Rounding.Add(graph, tensor, grid, before);
        if (readers is null && graph.WhyNotReplace(tensor, output) is null)
        {
            graph.Replace(tensor, output);
            quantized.SetInput(0, tensor);
            return;
        }
        foreach (var use in uses)
            use.Node.SetInput(use.Index, output);
    }

    private double WeightAlone(Node node)
    {
        var key = QuantizationDraft.Key(node)!;
        if (_alone.TryGetValue($"weight|{key}", out var known))
            return known;
        var copy = OnnxFile.Read(_fused);
        var twin = copy.Graph.Find(key)!.Producer!;
        var tensor = twin.Input(1)!.Constant!;
        var weight = _weights.Of(twin, tensor);
        twin.SetInput(1, copy.Graph.AddConstant("rounded", Tensor.From<float>(tensor.Shape.AsSpan(), weight.Values())));
        return _alone[$"weight|{key}"] = _error.Of(OnnxFile.ToBytes(copy)).Cost;
    }

    /// <summary>Shares of all multiply-accumulates, and of the bytes of all weights, in operators that are not integer.</summary>
    private (double Macs, double Bytes) FloatShares(QuantizationPlan plan)
    {
        var integer = plan.Nodes.Concat(plan.AlreadyInteger).Select(QuantizationDraft.Key).OfType<string>().ToHashSet(StringComparer.Ordinal);
        double Share(Func<NodeWork.Work, long> of) => _work.Nodes.Sum(n => (double)of(n.Value)) is var all and > 0 ? _work.Nodes.Where(n => !integer.Contains(n.Key)).Sum(n => (double)of(n.Value)) / all : 0;
        return (Share(w => w.Macs), Share(w => w.Weights));
    }

    /// <summary>What equalizing channels gained.</summary>
    /// <param name="Basis">What was made equal.</param>
    /// <param name="Pairs">Names of the operators between which it was.</param>
    /// <param name="Decibels">What the outputs gained.</param>
    internal sealed record EqualizationGain(EqualizationBasis Basis, IReadOnlyList<(string First, string Second)> Pairs, double Decibels);
}
