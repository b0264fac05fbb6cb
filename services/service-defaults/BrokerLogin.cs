using MassTransit;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// The login of the bus at the broker. The transport gives up for ever once it was refused, while anything else that keeps it from connecting is tried again with a pause of 3 to
/// 30 s. So before each connection of the bus another one shows whether the user is let in, with the password as it is now; a refusal is told to the transport as what it is
/// here, a broker that cannot be used at the moment.
/// </summary>
internal sealed class BrokerLogin(IOptions<BusOptions> options, ILogger<BrokerLogin> log)
{
    private string? _refusal;

    /// <summary>Why the broker does not let this process in; null when it does, or does not answer at all.</summary>
    public string? Refusal => Volatile.Read(ref _refusal);

    /// <summary>Gives the next connection the password as it is now.</summary>
    /// <exception cref="RabbitMqConnectionException">There is none, or the broker refuses it.</exception>
    public async Task PrepareAsync(ConnectionFactory factory)
    {
        BusAddress address;
        try
        {
            address = BusAddress.Read(options.Value);
        }
        catch (FormatException error)
        {
            // A file that is being replaced, perhaps.
            throw Refused(error.Message);
        }
        var letIn = true;
        try
        {
            await using var connection = await BrokerConnections.OpenAsync(address, "login", CancellationToken.None);
        }
        catch (Exception error) when (RefusalIn(error) is { } words)
        {
            throw Refused(
                $"RabbitMQ refuses user '{address.User}': {words} Give it the password that {(options.Value.PasswordFile is null ? "Bus:Address names" : "the file in Bus:PasswordFile holds, or that file the right one")}; it is tried again by itself.");
        }
        catch (Exception error) when (error is BrokerUnreachableException or OperationInterruptedException or IOException or OperationCanceledException or TimeoutException)
        {
            // Not about the login. The connection itself will meet the same and say so.
            letIn = false;
        }
        factory.Password = address.Password;
        if (Interlocked.Exchange(ref _refusal, null) is not null && letIn)
            log.LogInformation("RabbitMQ no longer refuses user {User}.", address.User);
    }

    private RabbitMqConnectionException Refused(string reason)
    {
        // Once, and not with every try.
        if (Interlocked.Exchange(ref _refusal, reason) != reason)
            log.LogError("The message bus cannot be used. {Reason}", reason);
        // Without the cause, by which the transport would know it for a refusal.
        return new RabbitMqConnectionException(reason);
    }

    private static string? RefusalIn(Exception? error) => error is null ? null : error is AuthenticationFailureException ? error.Message : RefusalIn(error.InnerException);
}
