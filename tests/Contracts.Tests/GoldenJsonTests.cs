using System.Text.Json;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Contracts.Tests;

/// <summary>
/// What goes over the wire. A golden file changes only when a contract does: a new optional property is added to it; a property that
/// changes its name or type breaks whoever runs another version, so it is a new contract instead.
/// </summary>
public sealed class GoldenJsonTests
{
    private static readonly JsonSerializerOptions Indented = new(ContractJson.Options) { WriteIndented = true };

    public static TheoryData<string> Contracts() => [.. ContractExamples.Types.Select(ContractExamples.NameOf)];

    [Theory]
    [MemberData(nameof(Contracts))]
    public void A_contract_is_written_as_its_golden_file_says(string contract)
    {
        var written = Write(contract);
        var golden = Golden(contract);
        if (Environment.GetEnvironmentVariable("UPDATE_GOLDEN") == "1")
            File.WriteAllText(golden, written);

        Assert.True(File.Exists(golden), $"{contract} has no golden file. Run these tests once with UPDATE_GOLDEN=1 and review {golden}.");
        Assert.Equal(File.ReadAllText(golden), written);
    }

    [Theory]
    [MemberData(nameof(Contracts))]
    public void A_golden_file_is_read_back_into_the_contract_that_wrote_it(string contract)
    {
        var type = TypeOf(contract);
        var golden = File.ReadAllText(Golden(contract));

        var read = JsonSerializer.Deserialize(golden, Example(type).GetType(), ContractJson.Options);

        Assert.Equal(golden, JsonSerializer.Serialize(read, Indented) + "\n");
    }

    [Theory]
    [MemberData(nameof(Contracts))]
    public void A_contract_without_its_required_properties_is_not_read(string contract)
    {
        var type = Example(TypeOf(contract)).GetType();
        var required = type.GetProperties().Count(p => p.IsDefined(typeof(System.Runtime.CompilerServices.RequiredMemberAttribute), inherit: false));

        if (required == 0)
            Assert.NotNull(JsonSerializer.Deserialize("{}", type, ContractJson.Options));
        else
            Assert.Throws<JsonException>(() => JsonSerializer.Deserialize("{}", type, ContractJson.Options));
    }

    [Theory]
    [MemberData(nameof(Contracts))]
    public void A_property_from_a_later_version_is_ignored(string contract)
    {
        var type = Example(TypeOf(contract)).GetType();
        var later = JsonNode.Parse(File.ReadAllText(Golden(contract)))!.AsObject();
        later.Add("fromALaterVersion", 1);

        var read = JsonSerializer.Deserialize(later.ToJsonString(), type, ContractJson.Options);

        Assert.Equal(File.ReadAllText(Golden(contract)), JsonSerializer.Serialize(read, Indented) + "\n");
    }

    [Fact]
    public void Every_golden_file_has_its_contract() => Assert.Equal(
        ContractExamples.Types.Select(ContractExamples.NameOf).Order(StringComparer.Ordinal),
        Directory.EnumerateFiles(Repository.Path("tests/Contracts.Tests/golden"), "*.json").Select(f => Path.GetFileNameWithoutExtension(f)).Order(StringComparer.Ordinal));

    [Fact]
    public void No_two_contracts_share_a_name() =>
        Assert.Empty(ContractExamples.Types.GroupBy(ContractExamples.NameOf).Where(g => g.Count() > 1).Select(g => g.Key));

    private static string Write(string contract)
    {
        var example = Example(TypeOf(contract));
        return JsonSerializer.Serialize(example, example.GetType(), Indented) + "\n";
    }

    private static object Example(Type type) => ContractExamples.Create(type);

    private static Type TypeOf(string contract) => ContractExamples.Types.Single(t => ContractExamples.NameOf(t) == contract);

    private static string Golden(string contract) => Repository.Path($"tests/Contracts.Tests/golden/{contract}.json");
}
