using System.Text;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.TestWorker;
using TinyMLaaS.WorkerHost.Attempts;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.Services.Tests.WorkerHost;

/// <summary>What the process that calibrates takes of the machine, all of it: heap, native code and stacks.</summary>
public sealed class CalibrationPeakTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Peak_memory_does_not_grow_with_the_number_of_samples()
    {
        var datasets = new Dictionary<string, string> { ["few"] = await WriteAsync(64), ["many"] = await WriteAsync(4096) };
        using var child = ChildProcess.Start(ChildProgram.Of(typeof(HungryNetwork).Assembly, 4L << 30));
        var call = Calls.Of("tests/calibration-peak", Repository.Path("samples/fashion-cnn.onnx"), _folder["work"], datasets: datasets);

        var report = (await child.RunAsync(call, new Progress<TransformProgress>(), new AttemptLog(TimeProvider.System), TestContext.Current.CancellationToken)).Report;

        var (few, many) = (PeakOf("few", 64), PeakOf("many", 4096));
        TestContext.Current.TestOutputHelper?.WriteLine($"64 samples: {few} KiB, 4,096 samples: {many} KiB, {(double)many / few:F3}");
        Assert.InRange(many, 0.95 * few, 1.05 * few);

        long PeakOf(string name, int samples)
        {
            Assert.Equal(samples, report[name]!["samples"]!.GetValue<int>());
            return report[name]!["peak"]!.GetValue<long>();
        }
    }

    /// <summary>Pictures of 28 x 28 floats that are all different.</summary>
    private async Task<string> WriteAsync(int count)
    {
        var folder = Directory.CreateDirectory(_folder[$"{count}"]).FullName;
        var path = Path.Combine(folder, "input.npy");
        await using var file = File.Create(path);
        // The npy format, version 1.0: magic, header length, a Python literal padded to 64 bytes, the content.
        var header = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, 1, 28, 28), }}".PadRight(117) + "\n";
        file.Write([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', 1, 0, 118, 0]);
        file.Write(Encoding.ASCII.GetBytes(header));
        var random = new Random(7);
        var picture = new byte[4 * 28 * 28];
        for (var i = 0; i < count; i++)
        {
            for (var pixel = 0; pixel < 28 * 28; pixel++)
                BitConverter.TryWriteBytes(picture.AsSpan(4 * pixel), random.NextSingle());
            file.Write(picture);
        }
        return folder;
    }
}
