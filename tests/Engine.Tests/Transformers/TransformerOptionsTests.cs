using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.Transformers;

public sealed class TransformerOptionsTests
{
    private enum Method
    {
        MinMax,
        Mse,
    }

    private sealed record Options : IValidatedOptions
    {
        [Description("Share removed."), Range(0.25, 0.75)]
        public double Ratio { get; init; } = 0.5;

        [Range(1, 8)]
        public int RoundTo { get; init; } = 4;

        public long Seed { get; init; }

        public bool PerChannel { get; init; } = true;

        public Method Calibration { get; init; } = Method.Mse;

        public string? Note { get; init; }

        public int? Limit { get; init; }

        public IReadOnlyList<string> Exclude { get; init; } = [];

        public int Derived => RoundTo * 2;

        public IEnumerable<string> Validate()
        {
            if (RoundTo == 8 && !PerChannel)
                yield return "Options 'round-to' 8 and 'per-channel' false do not go together; drop one.";
        }
    }

    private sealed record Wrong
    {
        public DateTime When { get; init; }
    }

    private static Options Parse(string json) => TransformerOptions.Parse<Options>(JsonDocument.Parse(json).RootElement);

    [Fact]
    public void Describes_every_option_with_type_range_default_and_meaning() => Assert.Equal(
        """
        {"type":"object","additionalProperties":false,"properties":{
        "ratio":{"type":"number","minimum":0.25,"maximum":0.75,"default":0.5,"description":"Share removed."},
        "round-to":{"type":"integer","minimum":1,"maximum":8,"default":4},
        "seed":{"type":"integer","default":0},
        "per-channel":{"type":"boolean","default":true},
        "calibration":{"type":"string","enum":["min-max","mse"],"default":"mse"},
        "note":{"type":["string","null"],"default":null},
        "limit":{"type":["integer","null"],"default":null},
        "exclude":{"type":"array","items":{"type":"string"},"default":[]}}}
        """.ReplaceLineEndings(""),
        TransformerOptions.Schema(typeof(Options)).GetRawText());

    [Fact]
    public void Refuses_a_record_with_a_type_no_option_can_have() =>
        Assert.Contains("Wrong.When", Assert.Throws<NotSupportedException>(() => TransformerOptions.Schema(typeof(Wrong))).Message, StringComparison.Ordinal);

    [Fact]
    public void Takes_all_defaults_when_nothing_is_given()
    {
        foreach (var nothing in new JsonElement?[] { null, default(JsonElement), JsonDocument.Parse("null").RootElement, JsonDocument.Parse("{}").RootElement })
            Assert.Equal(new Options(), TransformerOptions.Parse<Options>(nothing) with { Exclude = new Options().Exclude });
    }

    [Fact]
    public void Reads_every_type()
    {
        var options = Parse("""{"ratio":0.75,"round-to":8.0,"seed":9007199254740993,"per-channel":true,"calibration":"min-max","note":"x","limit":null,"exclude":["a","b"]}""");
        Assert.Equal((0.75, 8, 9007199254740993, true, Method.MinMax, "x", null), (options.Ratio, options.RoundTo, options.Seed, options.PerChannel, options.Calibration, options.Note, options.Limit));
        Assert.Equal(["a", "b"], options.Exclude);
    }

    [Fact]
    public void Names_every_violation_at_once()
    {
        var refusal = Assert.Throws<TransformRejectedException>(() => Parse(
            """{"ratio":0.76,"round-to":2.5,"seed":1e300,"per-channel":"yes","calibration":"Mse","limit":"1","exclude":[1],"note":5,"derived":1,"round-to":3,"exclude":[]}"""));
        Assert.Equal("invalid-option", refusal.Code);
        Assert.Equal(
            [
                "Option 'ratio': got 0.76, expected a number from 0.25 to 0.75.",
                "Option 'round-to': got 2.5, expected a whole number from 1 to 8.",
                "Option 'seed': got 1e300, expected a whole number.",
                "Option 'per-channel': got \"yes\", expected true or false.",
                "Option 'calibration': got \"Mse\", expected one of \"min-max\", \"mse\".",
                "Option 'limit': got \"1\", expected a whole number or null.",
                "Option 'exclude': got [1], expected a list of texts.",
                "Option 'note': got 5, expected text or null.",
                "Unknown option 'derived'; expected one of 'ratio', 'round-to', 'seed', 'per-channel', 'calibration', 'note', 'limit', 'exclude'.",
                "Option 'round-to' is given twice; give it once.",
                "Option 'exclude' is given twice; give it once.",
            ],
            refusal.Message.Split('\n'));
    }

    [Fact]
    public void Checks_rules_across_options_once_each_is_right()
    {
        Assert.Equal(8, Parse("""{"round-to":8}""").RoundTo);
        Assert.Contains("do not go together", Assert.Throws<TransformRejectedException>(() => Parse("""{"round-to":8,"per-channel":false}""")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("3")]
    public void Refuses_options_that_are_no_object(string json) =>
        Assert.Contains($"got {json}", Assert.Throws<TransformRejectedException>(() => Parse(json)).Message, StringComparison.Ordinal);
}
