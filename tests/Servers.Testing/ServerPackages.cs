namespace TinyMLaaS.Servers.Testing;

/// <summary>Where the servers come from.</summary>
internal static class ServerPackages
{
    /// <summary>The command that installs broker and database.</summary>
    public const string Installation = "apt-get install --no-install-recommends rabbitmq-server postgresql";

    /// <summary>The command that installs Prometheus and its tool.</summary>
    public const string PrometheusInstallation = "apt-get install --no-install-recommends prometheus";
}
