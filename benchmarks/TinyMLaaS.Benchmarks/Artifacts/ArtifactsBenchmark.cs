using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using TinyMLaaS.Benchmarks.Orchestration;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Benchmarks.Artifacts;

/// <summary>
/// How fast files go into the artifact-store and out of it, from a client that only sends and discards: into the store's own process, and through pipeline-api as clients do. Beside it what
/// the parts below can do at most, measured in the same run: hashing, the disk, loopback. Memory is the peak of the process while small and while large files pass.
/// </summary>
internal static class ArtifactsBenchmark
{
    private const int Rounds = 3;
    private const int SmallMib = 64;
    private const double UploadLimit = 300;
    private const double DownloadLimit = 800;
    private const double ShareOfDisk = 0.7;
    private const double MemoryGrowthLimitMib = 64;

    /// <param name="mib">Size of a large file.</param>
    /// <param name="say">Gets the lines of the table.</param>
    /// <param name="cancellation">Stops it.</param>
    public static async Task<JsonObject> RunAsync(int mib, Action<string> say, CancellationToken cancellation)
    {
        var folder = Directory.CreateTempSubdirectory("tinyml-bench-").FullName;
        try
        {
            // Nobody answers at the broker's address, and none is needed for files.
            await using var programs = new ServicePrograms("amqp://nobody:nobody@127.0.0.1:1/", Path.Combine(folder, "api.db"));
            var raw = await RawLimits.MeasureAsync(programs.Folder, mib, cancellation);
            say(string.Create(CultureInfo.InvariantCulture, $"raw, MB/s: SHA-256 {raw.Hash:0}, write {raw.Write:0}, write and fsync {raw.DurableWrite:0}, read {raw.Read:0}, loopback {raw.Loopback:0}"));
            var uploadLimit = Math.Min(UploadLimit, ShareOfDisk * raw.DurableWrite);
            var downloadLimit = Math.Min(DownloadLimit, ShareOfDisk * raw.Read);
            await programs.StartAsync("artifact-store");
            await programs.StartAsync("pipeline-api", new Dictionary<string, string> { ["PipelineApi__MigrateAtStart"] = "true" });

            var figures = new JsonObject
            {
                ["mib"] = mib,
                ["raw"] = new JsonObject
                {
                    ["sha256MBs"] = Rounded(raw.Hash),
                    ["writeMBs"] = Rounded(raw.Write),
                    ["writeAndFsyncMBs"] = Rounded(raw.DurableWrite),
                    ["readMBs"] = Rounded(raw.Read),
                    ["loopbackMBs"] = Rounded(raw.Loopback),
                },
                ["uploadLimitMBs"] = Rounded(uploadLimit),
                ["downloadLimitMBs"] = Rounded(downloadLimit),
            };
            var within = true;
            foreach (var (name, service) in new[] { ("store", "artifact-store"), ("throughApi", "pipeline-api") })
            {
                var (part, good) = await MeasureAsync(name, new Uri(programs.Address(service)), programs, mib, uploadLimit, downloadLimit, say, cancellation);
                figures[name] = part;
                within &= good;
            }
            figures["withinLimits"] = within;
            return figures;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<(JsonObject Figures, bool WithinLimits)> MeasureAsync(
        string name, Uri address, ServicePrograms programs, int mib, double uploadLimit, double downloadLimit, Action<string> say, CancellationToken cancellation)
    {
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = address, Timeout = Timeout.InfiniteTimeSpan, DefaultRequestHeaders = { { "Tiny-Tenant", "default" } } };
        var processes = programs.Processes.Select(p => p.Value.Pid).ToArray();
        var groups = programs.Processes.ToDictionary(p => p.Key, p => new[] { p.Value.Pid });
        var (uploadSpent, downloadSpent) = (groups.Keys.ToDictionary(g => g, _ => 0.0), groups.Keys.ToDictionary(g => g, _ => 0.0));
        async Task<(double Upload, double Download)> RoundAsync(int size)
        {
            var bytes = (double)size * (1 << 20);
            using var content = new GeneratedContent(size);
            var times = new ProcessTimes(groups);
            var start = Stopwatch.GetTimestamp();
            using var stored = await http.PostAsync("v1/artifacts?kind=dataset", content, cancellation);
            stored.EnsureSuccessStatusCode();
            var digest = (string)JsonNode.Parse(await stored.Content.ReadAsStringAsync(cancellation))!["digest"]!;
            var upload = bytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e6;
            Add(uploadSpent, times);
            times = new ProcessTimes(groups);
            start = Stopwatch.GetTimestamp();
            using var answer = await http.GetAsync($"v1/artifacts/{digest}", HttpCompletionOption.ResponseHeadersRead, cancellation);
            answer.EnsureSuccessStatusCode();
            await using var body = await answer.Content.ReadAsStreamAsync(cancellation);
            var buffer = new byte[1 << 20];
            long length = 0;
            int read;
            while ((read = await body.ReadAsync(buffer, cancellation)) > 0)
                length += read;
            if (length != (long)bytes)
                throw new InvalidOperationException($"{length} bytes came back of {bytes}.");
            var download = bytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e6;
            Add(downloadSpent, times);
            return (upload, download);
        }

        // Also the warm-up.
        using (var small = new PeakMemory(processes))
        {
            for (var round = 0; round < Rounds; round++)
                await RoundAsync(SmallMib);
            var (uploads, downloads) = (new List<double>(), new List<double>());
            var smallPeak = small.Mib;
            foreach (var group in groups.Keys)
                uploadSpent[group] = downloadSpent[group] = 0;
            using var large = new PeakMemory(processes);
            for (var round = 0; round < Rounds; round++)
            {
                var (upload, download) = await RoundAsync(mib);
                uploads.Add(upload);
                downloads.Add(download);
            }
            var largePeak = large.Mib;
            var (up, down) = (uploads.Order().ElementAt(Rounds / 2), downloads.Order().ElementAt(Rounds / 2));
            say(string.Create(CultureInfo.InvariantCulture,
                $"{name}: upload {up:0} MB/s (limit {uploadLimit:0}), download {down:0} MB/s (limit {downloadLimit:0}), peak of all services {smallPeak:0} MiB with {SmallMib} MiB files, {largePeak:0} MiB with {mib} MiB"));
            var gigabytes = Rounds * (double)mib * (1 << 20) / 1e9;
            JsonObject Spent(Dictionary<string, double> spent) => new(spent.Where(s => name != "store" || s.Key == "artifact-store").Select(s => KeyValuePair.Create(s.Key, (JsonNode?)Math.Round(s.Value / gigabytes, 2))));
            say($"{name}: processor seconds a GB: upload {Spent(uploadSpent).ToJsonString()}, download {Spent(downloadSpent).ToJsonString()}");
            return (new JsonObject
            {
                ["uploadProcessorSecondsPerGB"] = Spent(uploadSpent),
                ["downloadProcessorSecondsPerGB"] = Spent(downloadSpent),
                ["uploadMBs"] = Rounded(up),
                ["downloadMBs"] = Rounded(down),
                ["peakMibSmallFiles"] = Rounded(smallPeak),
                ["peakMibLargeFiles"] = Rounded(largePeak),
                ["peakGrowthLimitMib"] = MemoryGrowthLimitMib,
            }, up >= uploadLimit && down >= downloadLimit && largePeak - smallPeak <= MemoryGrowthLimitMib);
        }
    }

    private static void Add(Dictionary<string, double> spent, ProcessTimes times)
    {
        foreach (var (group, seconds) in times.Spent())
            spent[group] += seconds;
    }

    private static double Rounded(double figure) => Math.Round(figure);
}
