using TinyMLaaS.Compiler;
using TinyMLaaS.WorkerHost;

return WorkerProgram.Run(args, new CompilerModule());
