using Microsoft.Extensions.Logging;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.WorkerHost.Attempts;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>A process for each piece of work; the next one is started ahead, so that a runtime's start costs no attempt its time.</summary>
internal sealed class ChildProcesses(ChildProgram program, ILogger log) : ITransformPlace
{
    private readonly Lock _gate = new();
    private ChildProcess? _next;
    private bool _isDisposed;

    public void Prepare()
    {
        try
        {
            lock (_gate)
            {
                if (!_isDisposed)
                    _next ??= ChildProcess.Start(program);
            }
        }
        catch (Exception error) when (error is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // The attempt that needs it tries again, and tells.
            log.LogWarning(error, "A process for the next attempt could not be started.");
        }
    }

    public async Task<TransformResult> RunAsync(ITransformer transformer, TransformCall call, IProgress<TransformProgress> progress, AttemptLog lines, CancellationToken stop)
    {
        using var child = Take();
        Prepare();
        return await child.RunAsync(call, progress, lines, stop);
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            _next?.Dispose();
            _next = null;
        }
    }

    private ChildProcess Take()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            var (ahead, _) = (_next, _next = null);
            if (ahead is { IsAlive: true })
                return ahead;
            ahead?.Dispose();
            return ChildProcess.Start(program);
        }
    }
}
