using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Benchmarks;

// ./bench NAME [--json]: one JSON object, every figure with the limit or peer that was measured in the same run beside it.
if (args is not [var name, ..] || name != "demo" || args.Skip(1).Any(a => a != "--json"))
{
    Console.Error.WriteLine("usage: ./bench demo [--json]");
    return 2;
}
var figures = await DemoBenchmark.RunAsync(CancellationToken.None);
if (args.Contains("--json"))
{
    Console.WriteLine(figures.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
}
else
{
    foreach (var (figure, value) in figures)
        Console.WriteLine($"{figure,-24} {(value is JsonValue plain ? Convert.ToString(plain.GetValue<object>(), CultureInfo.InvariantCulture) : value?.ToJsonString())}");
}
return figures["withinLimits"]!.GetValue<bool>() ? 0 : 1;
