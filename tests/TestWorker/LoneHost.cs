using System.Text;
using Microsoft.Win32.SafeHandles;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.WorkerHost.Attempts;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.TestWorker;

/// <summary>A process that has a child hang for it and another wait, and tells who they are: to be killed.</summary>
internal static class LoneHost
{
    public static async Task<int> RunAsync(string folder)
    {
        var program = ChildProgram.Of(typeof(LoneHost).Assembly, 1L << 30);
        using var waiting = ChildProcess.Start(program);
        using var busy = ChildProcess.Start(program);
        var input = Path.Combine(folder, "input.onnx");
        await File.WriteAllTextAsync(input, "net");
        var call = Calls.Of("tests/misbehave", input, Path.Combine(folder, "work"), new { how = "hang" });
        await busy.RunAsync(call, new Teller(waiting.Id), new AttemptLog(TimeProvider.System), CancellationToken.None);
        return 0;
    }

    private sealed class Teller(int waiting) : IProgress<TransformProgress>
    {
        public void Report(TransformProgress value)
        {
            using var output = new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);
            output.Write(Encoding.UTF8.GetBytes($"{waiting} {value.Activity.Split(' ')[1]}\n"));
        }
    }
}
