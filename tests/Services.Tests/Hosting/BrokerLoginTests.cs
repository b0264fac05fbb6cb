using MassTransit;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using RabbitMQ.Client;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Services.Tests.Hosting;

/// <summary>What the bus is given to log in with. That a refusal ends when the broker's own does is tested on a broker.</summary>
public sealed class BrokerLoginTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Lines _log = new();
    private readonly ConnectionFactory _factory = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_password_file_that_cannot_be_read_is_told_once_and_tried_again()
    {
        var login = Login();
        for (var i = 0; i < 3; i++)
        {
            // A kind of error after which the transport tries again.
            var error = await Assert.ThrowsAsync<RabbitMqConnectionException>(() => login.PrepareAsync(_factory));
            Assert.StartsWith("Bus:PasswordFile cannot be read:", error.Message, StringComparison.Ordinal);
            Assert.Equal(error.Message, login.Refusal);
        }
        Assert.Single(_log.Written);

        await File.WriteAllTextAsync(_folder["password"], "first", TestContext.Current.CancellationToken);
        await login.PrepareAsync(_factory);
        Assert.Equal(("first", null), (_factory.Password, login.Refusal));
    }

    [Fact]
    public async Task The_password_is_read_for_every_connection_and_a_broker_that_is_not_there_is_no_refusal()
    {
        var login = Login();
        foreach (var password in (string[])["first", "second"])
        {
            await File.WriteAllTextAsync(_folder["password"], password + "\n", TestContext.Current.CancellationToken);
            await login.PrepareAsync(_factory);
            Assert.Equal((password, null), (_factory.Password, login.Refusal));
        }
        Assert.Empty(_log.Written);
    }

    // Nobody listens on this port.
    private BrokerLogin Login() => new(Options.Create(new BusOptions { Address = "amqp://user@127.0.0.1:1/", PasswordFile = _folder["password"] }), _log);

    private sealed class Lines : ILogger<BrokerLogin>
    {
        public List<string> Written { get; } = [];

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Written.Add(formatter(state, exception));
    }
}
