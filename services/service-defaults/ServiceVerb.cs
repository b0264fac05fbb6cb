namespace TinyMLaaS.ServiceDefaults;

/// <summary>Something that a service's program does once, on the machine and with the configuration of the service, instead of serving.</summary>
/// <param name="Name">The first argument.</param>
/// <param name="Usage">The arguments after it, for messages.</param>
/// <param name="RunAsync">Does it with the arguments after the first; gives what is written to standard output. <see cref="StartRefusedException"/> refuses the arguments.</param>
public sealed record ServiceVerb(string Name, string Usage, Func<IServiceProvider, IReadOnlyList<string>, CancellationToken, Task<string>> RunAsync);
