using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Documents;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Packaging;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Bundle;
using TinyMLaaS.Engine.Transformers.Fuse;
using TinyMLaaS.PipelineApi.Pipelines;
using TinyMLaaS.PipelineApi.Transformers;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.WorkerHost;

namespace TinyMLaaS.Services.Tests.PipelineApi;

public sealed class PipelineValidatorTests
{
    private static readonly Catalogue Full = new([TestTransformers.Fuse, TestTransformers.Quantize, TestTransformers.Evaluate, TestTransformers.Bundle]);

    /// <summary>What the shipped workers announce: the documents are written against that.</summary>
    private static readonly Catalogue Shipped = new(new ITransformer[] { new Fuse(), new Quantize(), new Evaluate(), new Bundle(PackageSigner.Development) }.Select(t => Worker.Describe(t.Info)));

    public static TheoryData<string> WrongDocuments() =>
        [.. Directory.EnumerateFiles(Repository.Path("tests/EndToEnd.Tests/WrongPipelines"), "*.expected.json").Select(f => Path.GetFileName(f).Replace(".expected.json", "", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    [Fact]
    public void Finds_nothing_wrong_with_a_document_that_uses_everything() => Assert.Empty(Validate("""
        name: keyword-spotter-2
        evaluate: { dataset: evaluation, metric: auc-mse }
        steps:
          - uses: compiler/fuse
            with: {}
            placement: [ node.labels.gpu == true, "node.hostname!=a-1.example" ]
          - uses: compiler/quantize
            with: { calibration: mse, samples: 1000, ratio: 0.5, limit: null, per-channel: true, exclude: [ conv1, "a/b" ] }
            datasets: { calibrate: calibration }
          - uses: installer/bundle
        """));

    [Fact]
    public void Finds_nothing_wrong_with_timeouts_and_retries() => Assert.Empty(Validate("""
        timeouts: { queue: 30m, attempt: 2h, heartbeat: 90s, total: 7d }
        steps:
          - uses: compiler/fuse
            timeouts: { queue: 1s, attempt: 365d, heartbeat: 1h }
            retry: { attempts: 100, backoff: 1h, not-on: [ worker-crashed, memory-exceeded ] }
            on-lease-lost: wait
          - uses: compiler/fuse
            timeouts: {}
            retry: {}
            on-lease-lost: fail
        """));

    [Fact]
    public void Finds_everything_that_is_wrong_with_timeouts_and_retries_at_once()
    {
        var found = Validate($$"""
            timeouts: { queue: 5, attempt: soon, heartbeat: 4s, total: 366d, run: 1h }
            steps:
              - uses: compiler/fuse
                timeouts: { queue: 0s, attempt: -1m, heartbeat: 61m, total: 1h }
                retry: { attempts: 0, backoff: 2h, not-on: [ Worker Crashed, 7 ], times: 3 }
                on-lease-lost: hope
              - uses: compiler/nothing
                timeouts: { queue: 1.5h }
                retry: { attempts: 101, not-on: [ {{string.Join(", ", Enumerable.Range(0, 33).Select(i => $"c{i}"))}} ] }
                on-lease-lost: true
            """);

        Assert.Equal(
            [
                "/steps/0/on-lease-lost unknown-policy", "/steps/0/retry/attempts out-of-range", "/steps/0/retry/backoff out-of-range", "/steps/0/retry/not-on/0 invalid-code",
                "/steps/0/retry/not-on/1 wrong-type", "/steps/0/retry/times unknown-field", "/steps/0/timeouts/attempt invalid-duration", "/steps/0/timeouts/heartbeat out-of-range",
                "/steps/0/timeouts/queue invalid-duration", "/steps/0/timeouts/total unknown-field", "/steps/1/on-lease-lost wrong-type", "/steps/1/retry/attempts out-of-range",
                "/steps/1/retry/not-on too-many-codes", "/steps/1/timeouts/queue invalid-duration", "/steps/1/uses unknown-transformer", "/timeouts/attempt invalid-duration",
                "/timeouts/heartbeat out-of-range", "/timeouts/queue wrong-type", "/timeouts/run unknown-field", "/timeouts/total out-of-range",
            ],
            found.Select(v => $"{v.Field} {v.Code}").Order(StringComparer.Ordinal));
        string Message(string field) => found.Single(v => v.Field == field).Message;
        Assert.Equal("'attempt' is the text 'soon'. Expected a duration: a whole number above 0 and one of s, m, h and d, e.g. 30m.", Message("/timeouts/attempt"));
        Assert.Equal("'heartbeat' is 61m. Expected a duration from 5s to 1h.", Message("/steps/0/timeouts/heartbeat"));
        Assert.Equal("'on-lease-lost' is the text 'hope'. Expected one of 'retry', 'wait', 'fail'.", Message("/steps/0/on-lease-lost"));
        Assert.Equal("'attempts' is the number 0. Expected a whole number from 1 to 100.", Message("/steps/0/retry/attempts"));
    }

    [Theory]
    [MemberData(nameof(WrongDocuments))]
    public void Finds_exactly_what_is_wrong_with_a_document_as_a_user_would_write_it(string name)
    {
        var folder = Repository.Path("tests/EndToEnd.Tests/WrongPipelines");
        var text = File.ReadAllText(Directory.EnumerateFiles(folder, name + ".*").Single(f => !f.EndsWith(".expected.json", StringComparison.Ordinal)));
        var expected = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, name + ".expected.json")))!.AsArray()
            .Select(v => (Step: (int?)v!["step"], Field: (string)v["field"]!, Code: (string)v["code"]!));

        IReadOnlyList<Violation> found;
        try
        {
            found = Validate(text, Shipped);
        }
        catch (DocumentException e)
        {
            found = [new Violation { Field = "", Code = e.Code, Message = e.Message }];
        }

        Assert.Equal(expected.OrderBy(v => v.Field, StringComparer.Ordinal), found.Select(v => (v.Step, v.Field, v.Code)).OrderBy(v => v.Field, StringComparer.Ordinal));
        Assert.All(found, v => Assert.NotEqual("", v.Message));
    }

    [Theory]
    [InlineData("calibration: 7", "/calibration", "wrong-type", "Option of 'compiler/quantize': 'calibration' is the number 7. Expected one of 'min-max', 'mse'.")]
    [InlineData("calibration: mes", "/calibration", "invalid-option", "Option of 'compiler/quantize': 'calibration' is the text 'mes'. Expected one of 'min-max', 'mse'.")]
    [InlineData("samples: 0", "/samples", "out-of-range", "Option of 'compiler/quantize': 'samples' is the number 0. Expected a whole number from 1 to 1000.")]
    [InlineData("samples: 1001", "/samples", "out-of-range", "Option of 'compiler/quantize': 'samples' is the number 1001. Expected a whole number from 1 to 1000.")]
    [InlineData("samples: 1e300", "/samples", "wrong-type", null)]
    [InlineData("samples: 2.5", "/samples", "wrong-type", "Option of 'compiler/quantize': 'samples' is the number 2.5. Expected a whole number from 1 to 1000.")]
    [InlineData("samples: many", "/samples", "wrong-type", "Option of 'compiler/quantize': 'samples' is the text 'many'. Expected a whole number from 1 to 1000.")]
    [InlineData("samples: null", "/samples", "wrong-type", "Option of 'compiler/quantize': 'samples' is empty. Expected a whole number from 1 to 1000.")]
    [InlineData("ratio: 0", "/ratio", "out-of-range", "Option of 'compiler/quantize': 'ratio' is the number 0. Expected a number above 0 below 1.")]
    [InlineData("ratio: 1", "/ratio", "out-of-range", null)]
    [InlineData("limit: x", "/limit", "wrong-type", "Option of 'compiler/quantize': 'limit' is the text 'x'. Expected a whole number from 1 or null.")]
    [InlineData("per-channel: 'yes'", "/per-channel", "wrong-type", "Option of 'compiler/quantize': 'per-channel' is the text 'yes'. Expected true or false.")]
    [InlineData("exclude: conv1", "/exclude", "wrong-type", "Option of 'compiler/quantize': 'exclude' is the text 'conv1'. Expected a list.")]
    [InlineData("exclude: [a, 1]", "/exclude/1", "wrong-type", "Option of 'compiler/quantize': Entry 2 of 'exclude' is the number 1. Expected text.")]
    [InlineData("sampels: 5", "/sampels", "unknown-option", "Option of 'compiler/quantize': There is no 'sampels' here. Did you mean 'samples'? Expected 'calibration', 'samples', 'ratio', 'limit', 'per-channel', 'exclude'.")]
    public void Refuses_a_wrong_option_and_says_what_is_expected(string option, string field, string code, string? message)
    {
        var violation = Assert.Single(Validate($"{{ steps: [ {{ uses: compiler/quantize, with: {{ {option} }}, datasets: {{ calibrate: calibration }} }} ] }}"));

        Assert.Equal((1, "/steps/0/with" + field, code), (violation.Step!.Value, violation.Field, violation.Code));
        if (message is not null)
            Assert.Equal(message, violation.Message);
    }

    [Theory]
    [InlineData("samples: 3.0")]
    [InlineData("samples: 1")]
    [InlineData("samples: 1000")]
    [InlineData("limit: null")]
    [InlineData("ratio: 0.000001")]
    [InlineData("exclude: []")]
    public void Takes_an_option_at_the_edge_of_what_is_allowed(string option) =>
        Assert.Empty(Validate($"{{ steps: [ {{ uses: compiler/quantize, with: {{ {option} }}, datasets: {{ calibrate: calibration }} }} ] }}"));

    [Fact]
    public void Suggests_the_transformer_that_was_meant()
    {
        var violation = Assert.Single(Validate("steps: [ { uses: compiler/quantise } ]"));

        Assert.Equal("There is no transformer 'compiler/quantise'. Did you mean 'compiler/quantize'? The worker 'compiler' offers compiler/fuse, compiler/quantize.", violation.Message);
    }

    [Fact]
    public void Says_which_workers_are_known_when_the_worker_is_not()
    {
        var violation = Assert.Single(Validate("steps: [ { uses: qat-trainer/quantize-aware } ]"));

        Assert.Equal("There is no transformer 'qat-trainer/quantize-aware'. No worker 'qat-trainer' offers any. Known workers: compiler, installer.", violation.Message);
    }

    [Fact]
    public void Says_that_no_worker_has_announced_itself()
    {
        var violation = Assert.Single(Validate("steps: [ { uses: compiler/fuse } ]", catalogue: new Catalogue([])));

        Assert.Equal("unknown-transformer", violation.Code);
        Assert.EndsWith("No worker has announced itself yet.", violation.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_to_measure_when_no_worker_can()
    {
        var violation = Assert.Single(Validate("{ evaluate: { dataset: evaluation, metric: top1 }, steps: [ { uses: compiler/fuse } ] }", catalogue: new Catalogue([TestTransformers.Fuse])));

        Assert.Equal(("/evaluate", "unknown-transformer"), (violation.Field, violation.Code));
    }

    [Fact]
    public void Says_what_a_step_takes_and_what_it_would_get()
    {
        var violation = Assert.Single(Validate("steps: [ { uses: installer/bundle }, { uses: compiler/fuse } ]"));

        Assert.Equal("'compiler/fuse' takes onnx, but step 1 is of kind bundle. Change the order, or leave one of them out.", violation.Message);
    }

    [Fact]
    public void Holds_the_first_step_against_the_kind_of_the_model()
    {
        var violation = Assert.Single(Validate("steps: [ { uses: compiler/fuse } ]", input: "oci-image"));

        Assert.Equal((1, "type-mismatch", "'compiler/fuse' takes onnx, but the model is of kind oci-image. Change the order, or leave one of them out."), (violation.Step!.Value, violation.Code, violation.Message));
    }

    [Fact]
    public void Does_not_hold_a_step_against_an_output_that_nobody_knows() =>
        Assert.Equal(["unknown-transformer"], Validate("steps: [ { uses: what/ever }, { uses: compiler/fuse } ]").Select(v => v.Code));

    [Fact]
    public void Takes_64_steps_and_not_one_more()
    {
        static string Steps(int count) => $"steps: [ {string.Join(", ", Enumerable.Repeat("{ uses: compiler/fuse }", count))} ]";

        Assert.Empty(Validate(Steps(64)));
        Assert.Equal([("/steps", "too-many-steps")], Validate(Steps(65)).Select(v => (v.Field, v.Code)));
    }

    [Fact]
    public void Takes_16_constraints_of_a_step_and_not_one_more()
    {
        static string Placement(int count) => $"steps: [ {{ uses: compiler/fuse, placement: [ {string.Join(", ", Enumerable.Repeat("node.role == worker", count))} ] }} ]";

        Assert.Empty(Validate(Placement(16)));
        Assert.Equal([("/steps/0/placement", "too-many-constraints")], Validate(Placement(17)).Select(v => (v.Field, v.Code)));
    }

    [Theory]
    [InlineData("node.id == 2ivku8v2gvtg4")]
    [InlineData("node.platform.arch==arm64")]
    [InlineData("engine.labels.operatingsystem != ubuntu-24.04")]
    [InlineData("node.labels.site == factory-1")]
    public void Takes_a_constraint_of_Swarm(string constraint) =>
        Assert.Empty(Validate($"steps: [ {{ uses: compiler/fuse, placement: [ '{constraint}' ] }} ]"));

    [Theory]
    [InlineData("node.colour == red")]
    [InlineData("node.labels. == red")]
    [InlineData("node.labels.gpu ==")]
    [InlineData("== true")]
    [InlineData("node.labels.gpu === true")]
    [InlineData("node.labels.gpu == true; rm -rf /")]
    [InlineData("")]
    public void Refuses_a_constraint_that_Swarm_would_not_understand(string constraint)
    {
        var violation = Assert.Single(Validate($"steps: [ {{ uses: compiler/fuse, placement: [ '{constraint}' ] }} ]"));

        Assert.Equal("invalid-placement", violation.Code);
        Assert.Contains("KEY == VALUE or KEY != VALUE", violation.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a\n", false)]
    [InlineData("-a", false)]
    [InlineData("a_b", false)]
    [InlineData("", false)]
    [InlineData("0", true)]
    [InlineData("a-", true)]
    public void Knows_what_a_pipeline_may_be_called(string name, bool allowed)
    {
        var document = new JsonObject { ["name"] = name, ["steps"] = new JsonArray(new JsonObject { ["uses"] = "compiler/fuse" }) };

        Assert.Equal(allowed ? [] : ["invalid-name"], Validate(document).Select(v => v.Code));
    }

    [Fact]
    public void Takes_a_name_of_63_characters_and_not_one_more()
    {
        JsonObject Named(int length) => new() { ["name"] = new string('a', length), ["steps"] = new JsonArray(new JsonObject { ["uses"] = "compiler/fuse" }) };

        Assert.Empty(Validate(Named(63)));
        Assert.Equal(["invalid-name"], Validate(Named(64)).Select(v => v.Code));
    }

    [Fact]
    public void Refuses_a_document_that_is_too_deep_or_too_large()
    {
        JsonNode deep = "x";
        for (var i = 0; i < 60; i++)
            deep = new JsonArray(deep);
        var nested = new JsonObject { ["steps"] = new JsonArray(new JsonObject { ["uses"] = "compiler/fuse", ["with"] = new JsonObject { ["x"] = deep } }) };
        var large = new JsonObject { ["name"] = new string('a', PipelineValidator.MaxBytes) };

        Assert.Equal([("", "document-too-deep")], Validate(nested).Select(v => (v.Field, v.Code)));
        Assert.Equal([("", "document-too-large")], Validate(large).Select(v => (v.Field, v.Code)));
    }

    [Fact]
    public void Names_a_field_whose_key_looks_like_a_path_by_its_own_pointer() =>
        Assert.Equal(["/steps/0/a.b[0]~1c~0d"], Validate("steps: [ { uses: compiler/fuse, 'a.b[0]/c~d': 1 } ]").Select(v => v.Field));

    [Fact]
    public void A_schema_that_refers_elsewhere_is_not_followed() =>
        Assert.Contains("($ref), which is not read", Assert.Throws<JsonException>(() =>
            SchemaCheck.Read("""{"type":"object","properties":{"a":{"$ref":"http://127.0.0.1:1/schema.json"}}}""")).Message, StringComparison.Ordinal);

    [Fact]
    public void Takes_32_levels_and_not_one_more()
    {
        // The document, its steps, the step and its options are four of them.
        Assert.Equal(["unknown-option"], Validate(Nested(28)).Select(v => v.Code));
        Assert.Equal(["document-too-deep"], Validate(Nested(29)).Select(v => v.Code));

        static JsonObject Nested(int levels)
        {
            JsonNode deep = "x";
            for (var i = 0; i < levels; i++)
                deep = new JsonArray(deep);
            return new JsonObject { ["steps"] = new JsonArray(new JsonObject { ["uses"] = "compiler/fuse", ["with"] = new JsonObject { ["x"] = deep } }) };
        }
    }

    [Fact]
    public void A_dataset_that_a_transformer_can_do_without_may_be_left_out()
    {
        var catalogue = new Catalogue([TestTransformers.Fuse with { Datasets = new Dictionary<string, bool> { ["calibrate"] = false } }]);
        Assert.Empty(Validate("steps: [ { uses: compiler/fuse } ]", catalogue));
        Assert.Equal(["unknown-dataset"], Validate("steps: [ { uses: compiler/fuse, datasets: { calibrate: nope } } ]", catalogue).Select(v => v.Code));
    }

    [Fact]
    public void A_whole_number_may_be_written_as_a_decimal_one() => Assert.Empty(Validate(JsonNode.Parse(
        """{"steps":[{"uses":"compiler/quantize","with":{"samples":3.0},"datasets":{"calibrate":"calibration"}}]}""")));

    [Fact]
    public void A_mistake_is_told_once_however_many_alternatives_it_breaks() => Assert.Single(SchemaCheck.Validate(
        SchemaCheck.Read("""{"type":"object","properties":{"a":{"anyOf":[{"type":"string"},{"type":"string","minLength":2}]}}}"""), JsonNode.Parse("""{"a":1}""")));

    private static IReadOnlyList<Violation> Validate(string document, Catalogue? catalogue = null, string input = "onnx") =>
        Validate(DocumentReader.Read(document), catalogue, input);

    private static IReadOnlyList<Violation> Validate(JsonNode? document, Catalogue? catalogue = null, string input = "onnx") =>
        new PipelineValidator().Validate(document, catalogue ?? Full, input, name => name is "calibration" or "evaluation");
}
