namespace TinyMLaaS.Servers.Testing;

/// <summary>Where the servers come from.</summary>
internal static class ServerPackages
{
    /// <summary>The command that installs both.</summary>
    public const string Installation = "apt-get install --no-install-recommends rabbitmq-server postgresql";
}
