using System.Runtime.CompilerServices;

namespace TinyMLaaS.Engine.Tests.Conformance;

public sealed class ConformanceTests(ConformanceCases cases) : IClassFixture<ConformanceCases>
{
    [Fact]
    public void ONNX_Runtime_reproduces_exactly_the_listed_cases()
    {
        var reproduced = cases.Outcomes.Where(c => c.Value.WhyNotReproduced is null).Select(c => c.Key).ToList();
        TestContext.Current.TestOutputHelper?.WriteLine($"{cases.Outcomes.Count} cases, {reproduced.Count} reproduced by ONNX Runtime");
        foreach (var (name, outcome) in cases.Outcomes.Where(c => c.Value.WhyNotReproduced is not null))
            TestContext.Current.TestOutputHelper?.WriteLine($"not reproduced: {name}: {outcome.WhyNotReproduced}");

        Assert.Equal(List("reproduced.txt"), reproduced);
    }

    [Fact]
    public void Only_the_listed_cases_are_refused_and_with_the_listed_code() =>
        Assert.Equal(List("refused.txt"), cases.Outcomes.Where(c => c.Value.Refusal is not null).Select(c => $"{c.Key} {c.Value.Refusal}"));

    [Fact]
    public void Written_cases_give_what_the_original_gives() => AssertNothingDiffers("reading and writing", o => o.AfterWriting, o => o.Refusal?.StartsWith("read ", StringComparison.Ordinal) == true);

    [Fact]
    public void Fused_cases_give_what_the_original_gives() => AssertNothingDiffers("compiler/fuse", o => o.AfterFusing, o => o.Refusal is not null);

    private void AssertNothingDiffers(string after, Func<ConformanceCases.Outcome, string?> difference, Func<ConformanceCases.Outcome, bool> isRefused)
    {
        // Which ones are refused is pinned by the list.
        var counted = cases.Outcomes.Where(c => c.Value.WhyNotReproduced is null && !isRefused(c.Value)).ToList();
        var failed = counted.Where(c => difference(c.Value) is not null).Select(c => $"{c.Key}: {difference(c.Value)}").ToList();
        TestContext.Current.TestOutputHelper?.WriteLine($"{counted.Count - failed.Count} of {counted.Count} cases give the same after {after}");

        Assert.True(failed.Count == 0, string.Join('\n', failed));
    }

    private static string[] List(string name) => [.. File.ReadAllLines(Path.Combine(Path.GetDirectoryName(Here())!, name)).Where(l => l.Length > 0 && l[0] != '#')];

    private static string Here([CallerFilePath] string path = "") => path;
}
