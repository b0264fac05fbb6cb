using System.CommandLine;
using System.Net;
using TinyMLaaS.Standalone;

namespace TinyMLaaS.Tinyml.Servers;

/// <summary><c>tinyml serve</c>: a standalone server until Ctrl-C.</summary>
internal static class ServeCommand
{
    private const int DefaultPort = 8470;

    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var port = new Option<int>("--port") { Description = $"TCP port, {DefaultPort} by default; 0 takes any that is free.", HelpName = "PORT", DefaultValueFactory = _ => DefaultPort };
        port.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 0 or > 65535)
                result.AddError("--port: expected 0 to 65535.");
        });
        var bind = new Option<string>("--bind") { Description = "Address to listen on; any but loopback needs a key, see tinyml key create.", HelpName = "ADDRESS", DefaultValueFactory = _ => "127.0.0.1" };
        var without = new Option<string[]>("--without") { Description = "Leaves a service out, for tests. Repeatable.", HelpName = "SERVICE", DefaultValueFactory = _ => [] };
        var command = new Command("serve", "Runs all services in this process, for this machine.") { port, bind, without };
        command.SetAction((parsed, cancellation) => RunAsync(
            global.Home(parsed), parsed.GetRequiredValue(bind), parsed.GetValue(port), parsed.GetValue(without) ?? [], global.WantsJson(parsed), terminal, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(string? home, string bind, int port, IReadOnlyList<string> without, bool json, Terminal terminal, CancellationToken cancellation)
    {
        if (!IPAddress.TryParse(bind == "localhost" ? "127.0.0.1" : bind, out var address))
            throw new CommandException(ExitCodes.WrongInput, "bad-address", $"'{bind}' is no address to listen on. Expected an IP address such as 127.0.0.1.");
        StandaloneServer server;
        try
        {
            server = await StandaloneServer.StartAsync(new StandaloneOptions { Home = home, Address = address, Port = port, Without = without }, cancellation);
        }
        catch (StandaloneException e)
        {
            throw ServerSession.Translate(e);
        }
        await using (server)
        {
            if (json)
                terminal.WriteJson(new { url = server.Url, pid = Environment.ProcessId, home = server.Home });
            else
                terminal.WriteText($"TinyMLaaS listens on {server.Url} with its files in {server.Home}. Ctrl-C stops it.");
            try
            {
                await Task.Delay(Timeout.InfiniteTimeSpan, cancellation);
            }
            catch (OperationCanceledException)
            {
                terminal.Say("Stopping ...");
            }
        }
        return ExitCodes.Done;
    }
}
