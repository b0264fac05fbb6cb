using TinyMLaaS.TestWorker;
using TinyMLaaS.WorkerHost;

return args is ["host", var work] ? await LoneHost.RunAsync(work) : await WorkerProgram.RunAsync(args, new MisbehavingModule());
