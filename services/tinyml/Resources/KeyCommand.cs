using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Spectre.Console;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary><c>tinyml key</c>: makes, lists and revokes API keys.</summary>
internal static class KeyCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal) => new("key", "Makes, lists and revokes the keys that clients need where a server listens on more than loopback.")
    {
        CreateKey(global, terminal),
        List(global, terminal),
        Revoke(global, terminal),
    };

    private static Command CreateKey(GlobalOptions global, Terminal terminal)
    {
        var name = new Argument<string>("NAME") { Description = "What the key is for." };
        var scopes = new Option<string[]>("--scope") { Description = $"What it permits: {string.Join(", ", Scopes.All)}. Repeatable; all that concern one tenant by default.", HelpName = "SCOPE", DefaultValueFactory = _ => [] };
        var days = new Option<int?>("--days") { Description = "Days until it expires, 1 to 366; 90 by default.", HelpName = "DAYS" };
        var tenant = new Option<string?>("--tenant") { Description = $"Whose key it is, your own tenant's by default. Another tenant takes {Scopes.TenantsAdmin}, and is made if it does not exist.", HelpName = "TENANT" };
        var command = new Command("create", "Makes a key and shows it, once.") { name, scopes, days, tenant };
        command.SetAction(async (parsed, cancellation) =>
        {
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            var resource = await session.Api.PostAsync<JsonElement>(
                "v1/keys",
                new CreateKey
                {
                    Name = parsed.GetRequiredValue(name),
                    Scopes = parsed.GetValue(scopes) is { Length: > 0 } given ? given : Scopes.OfTenant,
                    Days = parsed.GetValue(days),
                    Tenant = parsed.GetValue(tenant),
                },
                cancellation);
            if (global.WantsJson(parsed))
            {
                terminal.WriteJson(resource);
                return ExitCodes.Done;
            }
            var made = resource.Deserialize<KeyResource>(ContractJson.Options)!;
            terminal.Say($"The key of {made.Tenant} for {string.Join(", ", made.Scopes)}, until {Time(made.ExpiresAt)} UTC. Keep it: nobody can show it again.");
            terminal.WriteText(made.Key!);
            return ExitCodes.Done;
        });
        return command;
    }

    private static Command List(GlobalOptions global, Terminal terminal)
    {
        var command = new Command("list", "Lists the keys of your tenant, newest first.");
        command.SetAction(async (parsed, cancellation) =>
        {
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            var page = await session.Api.GetAsync<JsonElement>("v1/keys", cancellation);
            if (global.WantsJson(parsed))
                terminal.WriteJson(page);
            else
                terminal.Output.Write(Draw(page.Deserialize<Page<KeyResource>>(ContractJson.Options)!.Items));
            return ExitCodes.Done;
        });
        return command;
    }

    private static Command Revoke(GlobalOptions global, Terminal terminal)
    {
        var id = new Argument<string>("ID") { Description = "The key's id, as 'tinyml key list' shows it." };
        var command = new Command("revoke", "Ends a key at once.") { id };
        command.SetAction(async (parsed, cancellation) =>
        {
            if (!Guid.TryParse(parsed.GetRequiredValue(id), out var key))
                throw new CommandException(ExitCodes.WrongInput, "bad-id", $"'{parsed.GetRequiredValue(id)}' is no id of a key. Expected one as 'tinyml key list' shows them.");
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            await session.Api.DeleteAsync($"v1/keys/{key}", cancellation);
            if (global.WantsJson(parsed))
                terminal.WriteJson(new { id = key, revoked = true });
            else
                terminal.WriteText($"Key {key} is revoked.");
            return ExitCodes.Done;
        });
        return command;
    }

    private static Table Draw(IEnumerable<KeyResource> keys)
    {
        var table = new Table().Border(TableBorder.Simple);
        foreach (var title in (string[])["id", "begins with", "name", "permits", "expires (UTC)", "last used (UTC)"])
            table.AddColumn(new TableColumn(title));
        foreach (var key in keys)
        {
            table.AddRow(
                new Text(key.Id.ToString()), new Text(key.Prefix), new Text(key.Name), new Text(string.Join(' ', key.Scopes)),
                new Text(key.RevokedAt is null ? Time(key.ExpiresAt) : "revoked"), new Text(key.LastUsedAt is { } used ? Time(used) : "never"));
        }
        return table;
    }

    private static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);
}
