using System.Net;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.ModelServer;

const int Wrong = 2;

if (args is ["--help" or "-h", ..])
{
    Console.WriteLine(ServerOptions.Help);
    return 0;
}
var asksHealth = args is ["health", ..];
if (ServerOptions.Read(args[(asksHealth ? 1 : 0)..], Environment.GetEnvironmentVariable, out var wrong) is not { } options)
{
    foreach (var line in wrong)
        Console.Error.WriteLine($"model-server: {line}");
    return Wrong;
}
return asksHealth ? await AskAsync(options) : await ServeAsync(options);

static async Task<int> ServeAsync(ServerOptions options)
{
    try
    {
        await using var app = ModelServer.Build(options);
        await app.StartAsync();
        foreach (var address in app.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses)
            Console.WriteLine($"model-server: listening on {address}");
        await app.WaitForShutdownAsync();
        return 0;
    }
    catch (ModelException error)
    {
        Console.Error.WriteLine($"model-server: {error.Message}");
        return 1;
    }
    catch (IOException error)
    {
        // The address is taken, or not one of this machine.
        Console.Error.WriteLine($"model-server: cannot listen on {options.Address}:{options.Port}: {error.Message}");
        return 1;
    }
}

static async Task<int> AskAsync(ServerOptions options)
{
    try
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        var address = options.Address.Equals(IPAddress.Any) ? IPAddress.Loopback : options.Address.Equals(IPAddress.IPv6Any) ? IPAddress.IPv6Loopback : options.Address;
        using var answer = await http.GetAsync(new UriBuilder("http", address.ToString(), options.Port, "/v2/health/ready").Uri);
        return answer.IsSuccessStatusCode ? 0 : 1;
    }
    catch (Exception error) when (error is HttpRequestException or OperationCanceledException)
    {
        Console.Error.WriteLine($"model-server: not ready: {error.Message}");
        return 1;
    }
}
