using System.Net;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Standalone;

/// <summary>How a standalone server starts.</summary>
public sealed record StandaloneOptions
{
    /// <summary>Folder of everything it keeps; null for <c>~/.tinymlaas</c>. Created, readable by its owner alone.</summary>
    public string? Home { get; init; }

    /// <summary>Address it listens on. On loopback nobody needs a key; anywhere else everybody does, and there has to be one.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>TCP port; 0 for any that is free.</summary>
    public int Port { get; init; }

    /// <summary>Services to leave out, by name, each of <see cref="StandaloneServer.Services"/>. For tests of what happens when one is missing.</summary>
    public IReadOnlyList<string> Without { get; init; } = [];

    /// <summary>More workers, which no installation has: for measurements.</summary>
    internal IReadOnlyList<ServiceModule> Further { get; init; } = [];
}
