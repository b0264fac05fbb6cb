using TinyMLaaS.TestWorker;
using TinyMLaaS.TestWorker.NoOp;
using TinyMLaaS.WorkerHost;

return args switch
{
    ["host", var work] => await LoneHost.RunAsync(work),
    [NoOpModule.Argument, .. var rest] => await WorkerProgram.RunAsync(rest, new NoOpModule()),
    _ => await WorkerProgram.RunAsync(args, new MisbehavingModule()),
};
