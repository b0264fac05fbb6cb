using Microsoft.Extensions.Options;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Section <c>Bus</c>: the broker of services that are processes of their own.</summary>
internal sealed class BusOptions
{
    public const string Section = "Bus";

    /// <summary><c>amqp://USER:PASSWORD@HOST:PORT/VHOST</c>, or <c>amqps</c> for TLS.</summary>
    public string Address { get; set; } = "";

    /// <summary>A file with the password, where it is not to be part of the address.</summary>
    public string? PasswordFile { get; set; }
}

internal sealed class BusOptionsValidation : IValidateOptions<BusOptions>
{
    public ValidateOptionsResult Validate(string? name, BusOptions options)
    {
        try
        {
            BusAddress.Read(options);
            return ValidateOptionsResult.Success;
        }
        catch (FormatException error)
        {
            return ValidateOptionsResult.Fail(error.Message);
        }
    }
}

/// <summary>Where RabbitMQ is and who we are there.</summary>
/// <param name="Host">Address without user and password.</param>
/// <param name="User">User name.</param>
/// <param name="Password">Password.</param>
internal sealed record BusAddress(Uri Host, string User, string Password)
{
    private const string Expected = "amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps for TLS";

    public bool UsesTls => Host.Scheme == "amqps";

    /// <summary>Reads the options.</summary>
    /// <exception cref="FormatException">They name no broker.</exception>
    public static BusAddress Read(BusOptions options)
    {
        if (string.IsNullOrWhiteSpace(options.Address))
            throw new FormatException($"Bus:Address is not set. Set it (environment: Bus__Address) to {Expected}.");
        // Never the text itself: it may hold a password.
        if (!Uri.TryCreate(options.Address, UriKind.Absolute, out var uri) || uri.Scheme is not ("amqp" or "amqps") || uri.Host.Length == 0)
            throw new FormatException($"Bus:Address is no address of RabbitMQ. Expected {Expected}.");
        var user = uri.UserInfo.Split(':', 2).Select(Uri.UnescapeDataString).ToArray();
        if (user[0].Length == 0)
            throw new FormatException($"Bus:Address names no user. Expected {Expected}.");
        var host = new UriBuilder(uri) { UserName = "", Password = "" }.Uri;
        if (options.PasswordFile is not { Length: > 0 } file)
            return user is [_, { Length: > 0 } password]
                ? new BusAddress(host, user[0], password)
                : throw new FormatException($"Bus:Address has no password, and Bus:PasswordFile is not set. Expected {Expected}, or the password in a file.");
        try
        {
            return new BusAddress(host, user[0], File.ReadAllText(file).TrimEnd('\r', '\n'));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FormatException($"Bus:PasswordFile cannot be read: {e.Message}", e);
        }
    }
}
