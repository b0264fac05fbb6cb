using System.Globalization;
using System.Text;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.WorkerHost.Attempts;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.WorkerHost;

/// <summary>
/// The executable of a worker. Without arguments it is the worker as a process of its own (<see cref="ServiceProcess"/>). With <c>transform</c> it is the worker's child process: takes one piece of work from standard input, does it within a memory limit, tells progress and the end on
/// standard output, and ends. It ends, too, when standard input does: the worker that started it is gone.
/// </summary>
public static class WorkerProgram
{
    internal const string TransformVerb = "transform";
    private const int WrongUsage = 2;
    private const int LongestDetails = 8192;

    /// <summary>Runs the program.</summary>
    /// <param name="arguments"><c>transform BYTES</c>: the memory limit. Otherwise those of <see cref="ServiceProcess"/>.</param>
    /// <param name="module">The worker.</param>
    /// <returns>The exit code: 0, 1 when it failed, or 2 for a wrong option or argument.</returns>
    public static Task<int> RunAsync(IReadOnlyList<string> arguments, WorkerModule module) =>
        arguments is [TransformVerb, ..] ? Task.FromResult(Transform(arguments, module)) : ServiceProcess.RunAsync(module, arguments);

    private static int Transform(IReadOnlyList<string> arguments, WorkerModule module)
    {
        if (arguments is not [TransformVerb, var limit] || !long.TryParse(limit, NumberStyles.None, CultureInfo.InvariantCulture, out var bytes))
        {
            using var errors = new StreamWriter(ProcessLimits.Errors());
            errors.WriteLine($"This program does one piece of work for a worker, which starts it as '{TransformVerb} BYTES'. To start the worker, give no argument.");
            return WrongUsage;
        }
        ProcessLimits.Apply(bytes);
        using var output = ProcessLimits.TakeOutput();
        using var input = new StreamReader(ProcessLimits.Input());
        var (transformers, checks) = module.PrepareForOneAttempt();
        if (input.ReadLine() is not { } line)
            return 0;
        EndWith(input);
        var call = ChildMessage.Read<TransformCall>(Encoding.UTF8.GetBytes(line));
        // Whatever writes a temporary file or one beside itself writes it where it is removed.
        Environment.SetEnvironmentVariable("TMPDIR", call.WorkFolder);
        Environment.CurrentDirectory = call.WorkFolder;
        var told = new ChildOutput(output, TimeProvider.System);
        told.End(Do(call, transformers, checks, told));
        return 0;
    }

    private static ChildMessage Do(TransformCall call, IReadOnlyList<ITransformer> transformers, IReadOnlyList<IArtifactCheck> checks, ChildOutput told)
    {
        try
        {
            var transformer = transformers.Single(t => t.Info.Name == call.Uses);
            var result = call.Run(transformer, checks, told, CancellationToken.None);
            return new ChildMessage { Result = new ChildResult { OutputPath = result.OutputPath, Report = result.Report, Metrics = result.Metrics, PeakBytes = ProcessLimits.PeakBytes() } };
        }
        catch (TransformRejectedException e)
        {
            return new ChildMessage { Rejected = new ChildRejection { Code = e.Code, Message = e.Message } };
        }
        catch (Exception e) when (IsOutOfMemory(e))
        {
            return new ChildMessage { MemoryExceeded = true };
        }
#pragma warning disable CA1031 // Whatever it is, the worker must hear of it.
        catch (Exception e)
#pragma warning restore CA1031
        {
            var details = e.ToString();
            return new ChildMessage { Failed = new ChildError { Message = FailureMessage.Of(e), Details = details[..Math.Min(details.Length, LongestDetails)] } };
        }
    }

    private static bool IsOutOfMemory(Exception? e) => e is not null && (e is OutOfMemoryException || IsOutOfMemory(e.InnerException));

    /// <summary>Standard input says nothing more, and its end is the end of the worker.</summary>
    private static void EndWith(StreamReader input) =>
        new Thread(() =>
        {
            while (input.ReadLine() is not null)
            {
            }
            ProcessLimits.EndNow();
        })
        { IsBackground = true, Name = "end with the worker" }.Start();
}
