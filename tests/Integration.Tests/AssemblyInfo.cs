using TinyMLaaS.Integration.Tests.Servers;
using Xunit.Sdk;
using Xunit.v3;

// One broker and one database for all classes that do not break them; those that do start their own.
[assembly: AssemblyFixture(typeof(TestServers))]
// The servers, and often a stack of processes, share few cores: one class after the other.
[assembly: Parallelization(Mode = ParallelMode.None)]
