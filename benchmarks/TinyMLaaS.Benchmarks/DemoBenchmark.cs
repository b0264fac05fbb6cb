using System.Diagnostics;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Benchmarks;

/// <summary>The first thing anyone runs: how long <c>./tinyml demo</c> takes as a whole process on a fresh home, and what it gains.</summary>
internal static class DemoBenchmark
{
    private const int Runs = 3;
    private const double LimitSeconds = 60;
    private const double LimitBytesRatio = 0.40;
    private const double LimitTop1Drop = 0.01;

    public static async Task<JsonObject> RunAsync(CancellationToken cancellation)
    {
        var seconds = new double[Runs];
        JsonNode demo = new JsonObject();
        for (var run = 0; run < Runs; run++)
        {
            var folder = Directory.CreateTempSubdirectory("tinyml-bench-").FullName;
            try
            {
                var start = Stopwatch.GetTimestamp();
                demo = await DemoAsync(folder, cancellation);
                seconds[run] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        }
        Array.Sort(seconds);
        double Of(string network, string figure) => demo[network]![figure]!.GetValue<double>();
        var bytesRatio = Of("after", "bytes") / Of("before", "bytes");
        var drop = Of("before", "top1") - Of("after", "top1");
        return new JsonObject
        {
            ["secondsMedian"] = Math.Round(seconds[Runs / 2], 2),
            ["secondsMax"] = Math.Round(seconds[^1], 2),
            ["secondsLimit"] = LimitSeconds,
            ["bytesRatio"] = Math.Round(bytesRatio, 4),
            ["bytesRatioLimit"] = LimitBytesRatio,
            ["top1Drop"] = Math.Round(drop, 4),
            ["top1DropLimit"] = LimitTop1Drop,
            ["latencyRatio"] = Math.Round(Of("after", "latencyMs") / Of("before", "latencyMs"), 3),
            ["withinLimits"] = seconds[^1] < LimitSeconds && bytesRatio <= LimitBytesRatio && drop <= LimitTop1Drop,
        };
    }

    private static async Task<JsonNode> DemoAsync(string folder, CancellationToken cancellation)
    {
        var start = new ProcessStartInfo(Path.Combine(Repository.Root(), "tinyml"), ["demo", "--json", "--home", Path.Combine(folder, "home"), "--out", Path.Combine(folder, "out")])
        {
            RedirectStandardOutput = true,
        };
        using var process = Process.Start(start)!;
        var output = await process.StandardOutput.ReadToEndAsync(cancellation);
        await process.WaitForExitAsync(cancellation);
        return process.ExitCode == 0 ? JsonNode.Parse(output)! : throw new InvalidOperationException($"./tinyml demo ended with exit code {process.ExitCode}.");
    }
}
