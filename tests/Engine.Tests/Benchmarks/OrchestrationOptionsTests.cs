using TinyMLaaS.Benchmarks.Orchestration;

namespace TinyMLaaS.Engine.Tests.Benchmarks;

public sealed class OrchestrationOptionsTests
{
    [Theory]
    [InlineData("", "durable,embedded", 400, 16, false)]
    [InlineData("--only embedded --runs 7 --slots 2", "embedded", 7, 2, false)]
    [InlineData("--statements --only durable", "durable", 400, 16, true)]
    public void Options_are_read(string arguments, string parts, int runs, int slots, bool statements)
    {
        var options = OrchestrationOptions.Read(arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries));

        Assert.NotNull(options);
        Assert.Equal((parts, runs, slots, statements), (string.Join(',', options.Parts), options.Runs, options.Slots, options.CountsStatements));
    }

    [Theory]
    [InlineData("--only")]
    [InlineData("--only remote")]
    [InlineData("--runs 0")]
    [InlineData("--runs many")]
    [InlineData("--slots 1")]
    [InlineData("--slots 100000")]
    [InlineData("--fast")]
    public void Wrong_options_are_refused(string arguments) => Assert.Null(OrchestrationOptions.Read(arguments.Split(' ')));

    [Fact]
    public void Percentiles_are_values_that_were_measured()
    {
        var hundred = new Sample(Enumerable.Range(1, 100).Reverse().Select(i => (double)i));

        Assert.Equal((50.0, 99.0), (hundred.P50, hundred.P99));
        Assert.Equal((2.0, 3.0), (new Sample([3, 1, 2]).P50, new Sample([3, 1, 2]).P99));
        Assert.Equal((7.0, 7.0), (new Sample([7]).P50, new Sample([7]).P99));
    }
}
