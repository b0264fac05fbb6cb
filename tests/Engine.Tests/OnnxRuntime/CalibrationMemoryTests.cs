using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Tests.Graphs;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

/// <summary>Alone, since what other tests hold meanwhile would count.</summary>
[Collection(nameof(CalibrationMemoryTests))]
[CollectionDefinition(nameof(CalibrationMemoryTests), DisableParallelization = true)]
public sealed class CalibrationMemoryTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Needs_no_more_memory_for_more_samples()
    {
        const string graph = "in x: float[N,3,8,8]\nconst w: float[4,3,3,3] ~ 1\nconst v: float[4,4,1,1] ~ 2\na = Conv(x, w)\nr = Relu(a)\ny = Conv(r, v)\nout y";
        var model = GraphText.Parse(graph);
        var random = new Random(3);
        float[] values = [.. Enumerable.Range(0, 192).Select(_ => random.NextSingle())];
        // Apart, so that the array itself is gone when calibration runs.
        string Write(int count) => _folder.Write($"{count}/x.npy", ArrayWriter.Npy("<f4", [count, 3, 8, 8], [.. Enumerable.Range(0, count * 192).Select(i => values[i % 192])]));
        long Peak(int count)
        {
            var data = Dataset.Open(Path.Combine(_folder.Path, $"{count}/x.npy"));
            var (peak, seen) = (0L, 0);
            Calibration.Run(model, ["x", "r", "y"], data, 1, _ =>
            {
                // What is alive after each sixteenth of the work. What the runtime holds beside is the same after any feed of this size.
                if (++seen % (count / 16) == 0)
                    peak = Math.Max(peak, GC.GetTotalMemory(forceFullCollection: true));
            }, TestContext.Current.CancellationToken);
            return peak;
        }
        Write(64);
        Write(4096);
        Peak(64);
        var few = Peak(64);
        Assert.InRange(Peak(4096), 0, few * 1.05);
    }
}
