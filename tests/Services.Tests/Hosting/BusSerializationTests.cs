using System.Text.Json;
using System.Text.Json.Nodes;
using MassTransit.Serialization;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.Services.Tests.Hosting;

/// <summary>A contract is the same JSON on the bus, over HTTP and in the database.</summary>
public sealed class BusSerializationTests
{
    public static TheoryData<string> Contracts() =>
        [.. Directory.EnumerateFiles(Repository.Path("tests/Contracts.Tests/golden"), "*.json").Select(f => Path.GetFileNameWithoutExtension(f)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Contracts))]
    public void The_bus_writes_and_reads_a_contract_as_HTTP_does(string contract)
    {
        var golden = File.ReadAllText(Repository.Path($"tests/Contracts.Tests/golden/{contract}.json"));
        var type = typeof(ContractJson).Assembly.GetExportedTypes().Single(t => t.Name.Split('`')[0] == contract);
        if (type.IsGenericTypeDefinition)
            type = type.MakeGenericType(typeof(Violation));
        var message = JsonSerializer.Deserialize(golden, type, ContractJson.Options);

        var onTheBus = JsonSerializer.Serialize(message, type, SystemTextJsonMessageSerializer.Options);
        var received = JsonSerializer.Deserialize(onTheBus, type, SystemTextJsonMessageSerializer.Options);

        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(golden), JsonNode.Parse(onTheBus)), onTheBus);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(golden), JsonSerializer.SerializeToNode(received, type, ContractJson.Options)));
    }
}
