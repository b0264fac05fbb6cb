using Microsoft.Extensions.Options;

namespace TinyMLaaS.Persistence;

/// <summary>The part of a service's section that says where its rows are; named after the section.</summary>
public sealed class DatabaseOptions
{
    /// <summary>See <see cref="DatabaseAddress"/>.</summary>
    public string Database { get; set; } = "";

    /// <summary>True where no separate run applies the migrations.</summary>
    public bool MigrateAtStart { get; set; }
}

internal sealed class DatabaseOptionsValidation : IValidateOptions<DatabaseOptions>
{
    public ValidateOptionsResult Validate(string? name, DatabaseOptions options)
    {
        if (string.IsNullOrWhiteSpace(options.Database))
            return ValidateOptionsResult.Fail($"{name}:Database is not set. Set it (environment: {name}__Database) to {DatabaseAddress.Expected}.");
        try
        {
            DatabaseAddress.Parse(options.Database);
            return ValidateOptionsResult.Success;
        }
        catch (FormatException error)
        {
            return ValidateOptionsResult.Fail($"{name}:Database: {error.Message}");
        }
    }
}
