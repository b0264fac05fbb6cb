using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Orchestrator.Events;

namespace TinyMLaaS.Services.Tests.Orchestrator.Events;

/// <summary>The published description of the events, the code and real messages say the same.</summary>
public sealed class AsyncApiTests(InvariantsTests.Rows rows) : IClassFixture<InvariantsTests.Rows>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_type_is_in_the_document_and_every_type_of_the_document_is_in_the_code()
    {
        var document = await AsyncApiDocument.ReadAsync();

        Assert.Equal("3.0.0", (string?)document.Root["asyncapi"]);
        var expected = EventTypes.All.ToDictionary(t => EventTypes.TypeOf(t.Key), t => t.Value.Name);
        Assert.Equal(expected, document.Messages.Keys.ToDictionary(t => t, document.PayloadOf));
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), document.Resolve("#/components/schemas/EventType")["enum"]!.AsArray().Select(t => (string)t!).Order(StringComparer.Ordinal));
        Assert.All(document.Messages.Keys, t => Assert.Equal("CloudEventHeaders", document.HeadersOf(t)));
        Assert.Equal((EventExchange.Name, "topic"), ((string?)document.Root["channels"]!["broker"]!["bindings"]!["amqp"]!["exchange"]!["name"], (string?)document.Root["channels"]!["broker"]!["bindings"]!["amqp"]!["exchange"]!["type"]));
    }

    public static TheoryData<string> Records() => [.. EventTypes.All.Keys, nameof(CloudEvent), nameof(EventPage)];

    [Theory]
    [MemberData(nameof(Records))]
    public async Task The_schema_of_a_record_has_its_properties(string name)
    {
        var document = await AsyncApiDocument.ReadAsync();
        var type = EventTypes.All.TryGetValue(name, out var record) ? record : name == nameof(CloudEvent) ? typeof(CloudEvent) : typeof(EventPage);
        var schema = document.Resolve($"#/components/schemas/{type.Name}");
        string NameOf(System.Reflection.MemberInfo p) =>
            p.GetCustomAttributes(typeof(JsonPropertyNameAttribute), false) is [JsonPropertyNameAttribute named] ? named.Name : JsonNamingPolicy.CamelCase.ConvertName(p.Name);
        var properties = type.GetProperties().Where(p => p.SetMethod is not null).ToList();

        Assert.Equal(properties.Select(NameOf).Order(StringComparer.Ordinal), schema["properties"]!.AsObject().Select(p => p.Key).Order(StringComparer.Ordinal));
        // What always has a value is always there, whether or not a reader has to find it.
        var required = schema["required"]!.AsArray().Select(r => (string)r!).ToHashSet();
        Assert.Subset(required, properties.Where(p => p.IsDefined(typeof(RequiredMemberAttribute), false)).Select(NameOf).ToHashSet());
    }

    [Fact]
    public async Task Messages_of_every_type_are_as_their_schemas_say()
    {
        var document = await AsyncApiDocument.ReadAsync();
        var events = await ReadAsync();

        Assert.Equal(EventTypes.All.Keys.Select(EventTypes.TypeOf).Order(StringComparer.Ordinal), events.Select(e => (string)e["type"]!).Distinct().Order(StringComparer.Ordinal));
        Assert.All(events, e =>
        {
            Assert.Empty(document.Check("CloudEvent", e));
            Assert.Empty(document.Check(document.PayloadOf((string)e["type"]!), e["data"]!));
        });
    }

    [Theory]
    [InlineData("step.succeeded", "runId", null)]
    [InlineData("step.succeeded", "outputs", "[{\"digest\":\"sha256:1\",\"size\":1,\"kind\":\"onnx\"}]")]
    [InlineData("step.started", "attempt", "\"1\"")]
    [InlineData("step.progressed", "progress", "1.5")]
    [InlineData("step.failed", "failure", "{\"code\":\"x\"}")]
    [InlineData("run.accepted", "at", "\"yesterday\"")]
    [InlineData("run.failed", "step", "0")]
    [InlineData("artifact.stored", "artifact", "\"sha256:1\"")]
    public async Task A_message_that_is_not_as_its_schema_says_is_found(string name, string property, string? wrong)
    {
        var document = await AsyncApiDocument.ReadAsync();
        var data = (await ReadAsync()).First(e => (string)e["type"]! == EventTypes.TypeOf(name))["data"]!.AsObject();
        var schema = document.PayloadOf(EventTypes.TypeOf(name));
        Assert.Empty(document.Check(schema, data));

        data.Remove(property);
        if (wrong is not null)
            data[property] = JsonNode.Parse(wrong);

        Assert.NotEmpty(document.Check(schema, data));
    }

    [Theory]
    [InlineData("sequence", "5")]
    [InlineData("position", "0")]
    [InlineData("source", "default")]
    [InlineData("type", "io.tinymlaas.run.exploded.v1")]
    [InlineData("subject", "runs/1")]
    [InlineData("id", "5")]
    public async Task An_attribute_that_is_not_as_the_schema_says_is_found(string attribute, string wrong)
    {
        var document = await AsyncApiDocument.ReadAsync();
        var entry = (await ReadAsync())[0];
        entry[attribute] = wrong;

        Assert.NotEmpty(document.Check("CloudEvent", entry));
    }

    /// <summary>The events of runs of every kind, as HTTP shows them.</summary>
    private async Task<List<JsonNode>> ReadAsync()
    {
        await using var database = rows.Copy();
        var events = await database.Events.AsNoTracking().Where(e => e.Position != null).OrderBy(e => e.Position).ToListAsync(Cancellation);
        return [.. events.Select(e => JsonSerializer.SerializeToNode(EventLog.Show(e), ContractJson.Options)!)];
    }
}
