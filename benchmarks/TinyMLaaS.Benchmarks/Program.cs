using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Benchmarks;
using TinyMLaaS.Benchmarks.Artifacts;
using TinyMLaaS.Benchmarks.Engine;
using TinyMLaaS.Benchmarks.Orchestration;
using TinyMLaaS.Benchmarks.Serving;

// ./bench NAME [--json]: a table, or one JSON object, every figure with the limit or peer that was measured in the same run beside it. Progress goes to the standard error.
const string usage = """
    usage: ./bench demo [--json]
           ./bench artifacts [--mib N] [--json]
           ./bench containers [--json]
           ./bench engine [--only large,latency,networks] [--network PART-OF-A-NAME] [--json]
           ./bench orchestration [--only durable,embedded] [--runs N] [--slots N] [--statements] [--json]
           ./bench serving [--json]
    """;
var json = args.Contains("--json");
if (args is ["engine-large", var folder])
{
    Console.WriteLine(EngineBenchmark.RunLarge(folder).ToJsonString());
    return 0;
}
if (args is [EmbeddedInstallation.Argument, var home])
    return await EmbeddedInstallation.ServeAsync(home);
if (args is ["demo", ..] && args.Skip(1).All(a => a == "--json"))
    return Finish(await DemoBenchmark.RunAsync(CancellationToken.None), isTable: false);
if (args is ["containers", ..] && args.Skip(1).All(a => a == "--json"))
    return Finish(await ContainersBenchmark.RunAsync(json ? _ => { } : Console.WriteLine, CancellationToken.None), isTable: true);
if (args is ["serving", ..] && args.Skip(1).All(a => a == "--json"))
    return Finish(await ServingBenchmark.RunAsync(json ? _ => { } : Console.WriteLine, CancellationToken.None), isTable: true);
if (args is ["engine", ..] && Options(args.Skip(1).Where(a => a != "--json").ToArray()) is var (parts, network))
    return Finish(await EngineBenchmark.RunAsync(parts, network, Repository.Root(), json ? _ => { } : Console.WriteLine, CancellationToken.None), isTable: true);
if (args is ["artifacts", ..] && Mib(args.Skip(1).Where(a => a != "--json").ToArray()) is { } mib)
    return Finish(await ArtifactsBenchmark.RunAsync(mib, json ? _ => { } : Console.WriteLine, CancellationToken.None), isTable: true);
if (args is ["orchestration", ..] && OrchestrationOptions.Read(args.Skip(1).Where(a => a != "--json").ToArray()) is { } orchestration)
    return Finish(await OrchestrationBenchmark.RunAsync(orchestration, json ? _ => { } : Console.WriteLine, CancellationToken.None), isTable: true);
Console.Error.WriteLine(usage);
return 2;

int Finish(JsonObject figures, bool isTable)
{
    if (json)
        Console.WriteLine(figures.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
    foreach (var (figure, value) in json || isTable ? [] : figures.AsEnumerable())
        Console.WriteLine($"{figure,-24} {(value is JsonValue plain ? Convert.ToString(plain.GetValue<object>(), CultureInfo.InvariantCulture) : value?.ToJsonString())}");
    return figures["withinLimits"]!.GetValue<bool>() ? 0 : 1;
}

static int? Mib(string[] options) => options switch
{
    [] => 1024,
    ["--mib", var text] when int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var mib) && mib is >= 64 and <= 8192 => mib,
    _ => null,
};

static (IReadOnlyCollection<string> Parts, string? Network)? Options(string[] options)
{
    IReadOnlyCollection<string>? parts = null;
    string? network = null;
    for (var i = 0; i < options.Length; i += 2)
    {
        if (options[i] == "--only" && i + 1 < options.Length && options[i + 1].Split(',') is var asked && asked.All(EngineBenchmark.Parts.Contains))
            parts = asked;
        else if (options[i] == "--network" && i + 1 < options.Length)
            network = options[i + 1];
        else
            return null;
    }
    // One network is asked for to see it, not to wait for the rest.
    return (parts ?? (network is null ? EngineBenchmark.Parts : ["networks"]), network);
}
