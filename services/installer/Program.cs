using TinyMLaaS.Installer;
using TinyMLaaS.WorkerHost;

return await WorkerProgram.RunAsync(args, new InstallerModule());
