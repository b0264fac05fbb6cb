using System.Runtime.InteropServices;
using TinyMLaaS.Tinyml;

using var cancellation = new CancellationTokenSource();
void Stop(PosixSignalContext signal)
{
    // The first asks to end in order; a second one is not caught and ends the process at once.
    if (cancellation.IsCancellationRequested)
        return;
    signal.Cancel = true;
    cancellation.Cancel();
}
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
return await Cli.RunAsync(args, Terminal.OfProcess(), cancellation.Token);
