using Xunit.Sdk;
using Xunit.v3;

// Each test runs a whole system and most of them use all cores.
[assembly: Parallelization(Mode = ParallelMode.None)]
