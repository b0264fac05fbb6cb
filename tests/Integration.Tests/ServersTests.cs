using TinyMLaaS.Integration.Tests.Servers;

namespace TinyMLaaS.Integration.Tests;

public sealed class ServersTests(ServersInUse use) : IClassFixture<ServersInUse>
{
    [Fact]
    public void The_servers_say_their_versions_and_processes()
    {
        Assert.Matches(@"^RabbitMQ \d+\.\d+\S* \((process \d+|of \w+)\), PostgreSQL \d+.* \((process \d+|of \w+)\)$", use.Servers.Description);
    }
}
