using System.Text;
using TinyMLaaS.Documents;

namespace TinyMLaaS.Contracts.Tests.Documents;

public sealed class DocumentReaderTests
{
    [Theory]
    [InlineData("true", "true")]
    [InlineData("no", "\"no\"")]
    [InlineData("~", "null")]
    [InlineData("Null", "null")]
    [InlineData("12", "12")]
    [InlineData("-012", "-12")]
    [InlineData("0x1F", "31")]
    [InlineData("0o17", "15")]
    [InlineData("9223372036854775807", "9223372036854775807")]
    [InlineData("1e-3", "0.001")]
    [InlineData(".5", "0.5")]
    [InlineData("3.", "3")]
    [InlineData("1_000", "\"1_000\"")]
    [InlineData("'12'", "\"12\"")]
    [InlineData("\"true\"", "\"true\"")]
    [InlineData("NHWC->NCHW", "\"NHWC->NCHW\"")]
    [InlineData("12:30", "\"12:30\"")]
    public void Reads_a_scalar_as_yaml_1_2_core_says(string scalar, string json) =>
        Assert.Equal($"{{\"a\":{json}}}", DocumentReader.Read($"a: {scalar}\n")!.ToJsonString(new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));

    [Fact]
    public void Reads_the_same_from_yaml_and_from_json()
    {
        var yaml = DocumentReader.Read("name: x\nsteps:\n- uses: compiler/fuse\n- uses: compiler/quantize\n  with: { exclude: [a, 'b'], limit: 1e-3 }\n  datasets:\n");
        var json = DocumentReader.Read("\t{\"name\":\"x\",\n\t\"steps\":[{\"uses\":\"compiler/fuse\"},{\"uses\":\"compiler/quantize\",\"with\":{\"exclude\":[\"a\",\"b\"],\"limit\":0.001},\"datasets\":null}]}");
        Assert.Equal(json!.ToJsonString(), yaml!.ToJsonString());
    }

    [Fact]
    public void Gives_a_number_as_any_type_that_holds_it()
    {
        var document = DocumentReader.Read("a: 7")!;
        Assert.Equal(7, document["a"]!.GetValue<int>());
        Assert.Equal(7d, document["a"]!.GetValue<double>());
    }

    [Theory]
    [InlineData("", "empty-document", 1, 1)]
    [InlineData("# nothing\n", "empty-document", 1, 1)]
    [InlineData("a: 1\nb: 2\na: 3\n", "duplicate-key", 3, 1)]
    [InlineData("{\"a\": 1, \"a\": 2}", "duplicate-key", 1, 10)]
    [InlineData("a: 1\n---\nb: 2\n", "several-documents", 2, 1)]
    [InlineData("a: &x 1\n", "unsupported-yaml", 1, 4)]
    [InlineData("a: *x\n", "unsupported-yaml", 1, 4)]
    [InlineData("a: !!binary aGk=\n", "unsupported-yaml", 1, 4)]
    [InlineData("? [a]\n: 1\n", "unsupported-yaml", 1, 3)]
    [InlineData("a: 9223372036854775808\n", "number-out-of-range", 1, 4)]
    [InlineData("a: 0x8000000000000000\n", "number-out-of-range", 1, 4)]
    [InlineData("a: 1e999\n", "number-out-of-range", 1, 4)]
    [InlineData("[1e999]", "number-out-of-range", 1, 2)]
    [InlineData("a: .inf\n", "number-out-of-range", 1, 4)]
    [InlineData("a: [1, 2\nb: 3\n", "malformed-document", 1, 6)]
    public void Refuses_what_json_cannot_say_and_names_the_place(string text, string code, long line, long column)
    {
        var refusal = Assert.Throws<DocumentException>(() => DocumentReader.Read(text));
        Assert.Equal((code, line, column), (refusal.Code, refusal.Line, refusal.Column));
    }

    [Theory]
    [InlineData('[', ']')]
    [InlineData('{', '}')]
    public void Reads_the_deepest_nesting_and_refuses_one_more(char open, char close)
    {
        string Nested(int depth) => new StringBuilder().Insert(0, open == '{' ? "{a: " : "[", depth).Append(new string(close, depth)).ToString();
        Assert.NotEmpty(DocumentReader.Read(Nested(DocumentReader.MaximumDepth))!.ToJsonString());
        Assert.Equal("document-too-deep", Assert.Throws<DocumentException>(() => DocumentReader.Read(Nested(DocumentReader.MaximumDepth + 1))).Code);
        Assert.Equal("document-too-deep", Assert.Throws<DocumentException>(() => DocumentReader.Read(Nested(200_000))).Code);
    }

    [Fact]
    public void Reads_the_largest_text_and_refuses_one_byte_more()
    {
        var largest = "a: 1\n#" + new string('x', DocumentReader.MaximumBytes - 6);
        Assert.Equal(1, DocumentReader.Read(largest)!["a"]!.GetValue<int>());
        Assert.Equal("document-too-large", Assert.Throws<DocumentException>(() => DocumentReader.Read(largest + "x")).Code);
        Assert.Equal("document-too-large", Assert.Throws<DocumentException>(() => DocumentReader.Read(new string('é', (DocumentReader.MaximumBytes / 2) + 1))).Code);
    }

    [Fact]
    public void Reads_or_refuses_but_never_fails_on_mutilated_text()
    {
        const string sound = "name: \"x\"\nsteps:\n- uses: compiler/fuse\n- { uses: 'a', with: [1, 0x1F, .5, ~] }\ntext: |\n  a\n  b\n%YAML 1.2\n? k\n: *a\n!!t\n";
        const string hostile = "\0\t\n\"'[]{}:-#&*!|>%@`\u0085\ud800 ,?\\x0";
        var random = new Random(1);
        var refused = 0;
        for (var round = 0; round < 5000; round++)
        {
            var text = new StringBuilder(sound);
            for (var change = random.Next(1, 8); change > 0; change--)
            {
                var at = random.Next(text.Length);
                if (random.Next(3) == 0)
                    text.Remove(at, random.Next(Math.Min(12, text.Length - at)));
                else
                    text.Insert(at, hostile[random.Next(hostile.Length)]);
            }
            try
            {
                DocumentReader.Read(text.ToString());
            }
            catch (DocumentException)
            {
                refused++;
            }
        }
        Assert.InRange(refused, 1000, 5000);
    }
}
