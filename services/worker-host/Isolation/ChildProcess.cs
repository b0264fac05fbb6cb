using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using TinyMLaaS.Contracts;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.WorkerHost.Attempts;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>
/// One child of a worker, for one piece of work. Started ahead it waits for it with its runtime and libraries loaded. It is killed once it has told the end,
/// when it is to stop, and when this is disposed; it ends by itself when this process does.
/// </summary>
internal sealed class ChildProcess : IDisposable
{
    /// <summary>Longest line that is taken from a child: a report of a network with very many nodes fits.</summary>
    private const int LongestLine = 64 << 20;

    private const int LongestErrors = 16 * 1024;
    private const int LongestErrorLine = 2000;
    private static readonly TimeSpan ErrorsWithin = TimeSpan.FromSeconds(1);

    private readonly ChildProgram _program;
    private readonly Process _process;
    private readonly Task<string> _errors;
    private readonly Lock _gate = new();
    private readonly List<string> _early = [];
    private AttemptLog? _log;

    private ChildProcess(ChildProgram program)
    {
        _program = program;
        _process = program.Start();
        _errors = ReadErrorsAsync(_process.StandardError);
    }

    /// <summary>Starts a child, which then waits.</summary>
    public static ChildProcess Start(ChildProgram program) => new(program);

    public int Id => _process.Id;

    /// <summary>False when it has ended, for whatever reason.</summary>
    public bool IsAlive => !_process.HasExited;

    /// <summary>Has the child do its work.</summary>
    /// <exception cref="TransformRejectedException">Model, options or data are wrong.</exception>
    /// <exception cref="AttemptFailedException">The child ended without a result, or ran out of memory.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public async Task<TransformResult> RunAsync(TransformCall call, IProgress<TransformProgress> progress, AttemptLog log, CancellationToken stop)
    {
        lock (_gate)
        {
            _log = log;
            _early.ForEach(log.Write);
            _early.Clear();
        }
        ChildMessage? end;
        await using (stop.Register(Kill))
        {
            await TellAsync(call);
            end = await HearAsync(progress);
        }
        // Nothing more is expected of it, and its way out would only take time.
        Kill();
        await _process.WaitForExitAsync(CancellationToken.None);
        try
        {
            // What it wrote comes before what is said about its end.
            await _errors.WaitAsync(ErrorsWithin, CancellationToken.None);
        }
        catch (TimeoutException)
        {
            // Whoever else holds its standard error open holds nobody up.
        }
        stop.ThrowIfCancellationRequested();
        switch (end)
        {
            case { Result: { } result }:
                if (result.PeakBytes is { } peak)
                    log.Write(string.Create(CultureInfo.InvariantCulture, $"peak memory {peak >> 20} MiB"));
                return new TransformResult { OutputPath = result.OutputPath, Report = result.Report, Metrics = result.Metrics };
            case { Rejected: { } rejected }:
                throw new TransformRejectedException(rejected.Code, rejected.Message);
            case { Failed: { } failed }:
                throw new AttemptFailedException(new Failure { Code = "worker-error", Message = failed.Message, Retryable = true }, failed.Details);
            case { MemoryExceeded: true }:
                throw new AttemptFailedException(ChildFailure.MemoryExceeded(call.Uses, _program.MemoryLimit));
            default:
                var errors = await _errors;
                throw new AttemptFailedException(ChildFailure.OfExit(call.Uses, _process.ExitCode, errors, _program.MemoryLimit), errors);
        }
    }

    public void Dispose()
    {
        Kill();
        _process.Dispose();
    }

    private void Kill()
    {
        try
        {
            _process.Kill();
        }
        catch (InvalidOperationException)
        {
            // It has ended, and is forgotten.
        }
    }

    private async Task TellAsync(TransformCall call)
    {
        try
        {
            await _process.StandardInput.WriteLineAsync(ChildMessage.Write(call));
            await _process.StandardInput.FlushAsync();
        }
        catch (IOException)
        {
            // It ended before it heard. How, is told by its exit code.
        }
    }

    /// <summary>Passes progress on and returns the end; null when there is none.</summary>
    private async Task<ChildMessage?> HearAsync(IProgress<TransformProgress> progress)
    {
        var reader = PipeReader.Create(_process.StandardOutput.BaseStream);
        while (true)
        {
            var read = await reader.ReadAsync();
            var buffer = read.Buffer;
            while (buffer.PositionOf((byte)'\n') is { } newline)
            {
                var message = ChildMessage.Read<ChildMessage>(buffer.Slice(0, newline).ToArray());
                if (message.Progress is not { } told)
                    return message;
                progress.Report(new TransformProgress(told.Fraction, told.Activity));
                buffer = buffer.Slice(buffer.GetPosition(1, newline));
            }
            if (read.IsCompleted)
                return null;
            if (buffer.Length > LongestLine)
                throw new InvalidDataException($"A child wrote a line of more than {LongestLine >> 20} MiB.");
            reader.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    /// <summary>
    /// What is written goes into the attempt's log as it comes, line by line; the beginning is the result. All is read, so that writing never blocks.
    /// </summary>
    private async Task<string> ReadErrorsAsync(StreamReader reader)
    {
        var (kept, line, buffer) = (new StringBuilder(), new StringBuilder(), new char[4096]);
        int read;
        while ((read = await reader.ReadAsync(buffer)) > 0)
        {
            kept.Append(buffer, 0, Math.Min(read, LongestErrors - kept.Length));
            for (var i = 0; i < read; i++)
            {
                if (buffer[i] != '\n')
                    line.Append(buffer[i]);
                if (buffer[i] == '\n' || line.Length >= LongestErrorLine)
                    Pass(line);
            }
        }
        Pass(line);
        return kept.ToString();
    }

    private void Pass(StringBuilder line)
    {
        var text = FailureMessage.WithoutPaths(line.ToString().TrimEnd('\r'));
        line.Clear();
        if (text.Length == 0)
            return;
        lock (_gate)
        {
            if (_log is not null)
                _log.Write(text);
            else if (_early.Count < 100)
                _early.Add(text);
        }
    }
}
