using TinyMLaaS.Compiler;
using TinyMLaaS.WorkerHost;

return await WorkerProgram.RunAsync(args, new CompilerModule());
