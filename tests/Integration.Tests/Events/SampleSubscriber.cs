using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Integration.Tests.Events;

/// <summary>One of the example subscribers as a process of its own; it writes each event as a line.</summary>
internal sealed class SampleSubscriber : IAsyncDisposable
{
    /// <summary>What installs the library of the Python example.</summary>
    public const string Installation = "apt-get install --no-install-recommends python3-pika";

    // Of the same configuration as the tests.
    private static readonly string Program = Repository.Path($"samples/subscribers/csharp/bin/{new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name}/net10.0/Subscriber.dll");

    private const string Python = "/usr/bin/python3";

    private readonly string[] _command;
    private readonly List<ServerProcess> _processes = [];

    private SampleSubscriber(string name, string[] command) => (Name, _command) = (name, command);

    public string Name { get; }

    public int Pid => _processes[^1].Pid;

    /// <summary>Everything that all its processes got, in that order.</summary>
    public IReadOnlyList<CloudEvent> Received => [.. _processes.SelectMany(p => p.Output.Split('\n')).Select(Read).OfType<CloudEvent>()];

    /// <summary>What its processes wrote, for messages.</summary>
    public string Output => string.Concat(_processes.Select(p => p.Output.Length <= 2000 ? p.Output : p.Output[^2000..]));

    /// <summary>The one in C#.</summary>
    public static Task<SampleSubscriber> CSharpAsync(string broker, string queue, string pattern) =>
        StartAsync(new SampleSubscriber("the C# subscriber", ["dotnet", Program, broker, queue, pattern]));

    /// <summary>The one in Python.</summary>
    public static async Task<SampleSubscriber> PythonAsync(string broker, string queue, string pattern)
    {
        var missing = await ServerProcess.RunAsync(Python, ["-c", "import importlib.util; print(importlib.util.find_spec('pika') is None)"]);
        if (missing.Trim() != "False")
            throw new InvalidOperationException($"The Python library pika is missing. Install it: {Installation}");
        return await StartAsync(new SampleSubscriber("the Python subscriber", [Python, Repository.Path("samples/subscribers/python/subscriber.py"), broker, queue, pattern]));
    }

    /// <summary>Ends it as a crash does.</summary>
    public async Task KillAsync()
    {
        await _processes[^1].SignalAsync("KILL");
        await _processes[^1].EndedAsync();
    }

    /// <summary>Starts it once more.</summary>
    public async Task StartAgainAsync() => _processes.Add(await ServerProcess.StartAsync(_command[0], _command[1..], new Dictionary<string, string> { ["PYTHONDONTWRITEBYTECODE"] = "1" }));

    /// <summary>Waits until its queue is there and bound, so that nothing passes it by.</summary>
    public Task SubscribedAsync() => Stacks.Stack.UntilAsync(
        () => Task.FromResult(_processes[^1].Output.Contains("Subscribed: ", StringComparison.Ordinal)), () => Task.FromResult($"{Name} does not subscribe: {Output}"));

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
            await process.DisposeAsync();
    }

    private static async Task<SampleSubscriber> StartAsync(SampleSubscriber subscriber)
    {
        await subscriber.StartAgainAsync();
        return subscriber;
    }

    // A process that is killed may leave half a line.
    private static CloudEvent? Read(string line)
    {
        if (!line.StartsWith('{') || !line.TrimEnd().EndsWith('}'))
            return null;
        try
        {
            return JsonNode.Parse(line).Deserialize<CloudEvent>(ContractJson.Options);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
