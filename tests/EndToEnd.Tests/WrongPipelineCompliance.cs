using TinyMLaaS.EndToEnd.Tests.WrongPipelines;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Every document of the folder, on one server.</summary>
public abstract class WrongPipelineCompliance
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static IEnumerable<TheoryDataRow<string>> Names => WrongPipeline.Names;

    /// <summary>Address of the server.</summary>
    protected abstract string Url { get; }

    /// <summary>A folder that must not come into being.</summary>
    protected abstract string Output { get; }

    /// <summary>A picture of everything that the server has stored.</summary>
    protected abstract Task<string> StoredAsync();

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_wrong_document_is_refused_with_all_its_violations_and_nothing_is_stored(string name)
    {
        var wrong = WrongPipeline.Named(name);
        var before = await StoredAsync();

        var result = (await TinymlCommand.RunAsync(
            Cancellation, "run", Samples.Model, "--pipeline", wrong.DocumentPath, "--dataset", Samples.Calibration, "--dataset", Samples.Evaluation,
            "--out", Output, "--server", Url, "--json")).Expect(2);

        Assert.Equal("rejected", result.Json.GetProperty("state").GetString());
        Assert.Equal(
            wrong.Violations.Select(v => $"{v.Step} {v.Field} {v.Code}").Order(StringComparer.Ordinal),
            result.Json.GetProperty("problems").EnumerateArray()
                .Select(p => $"{(p.TryGetProperty("step", out var step) ? step.GetInt32() : null as int?)} {p.GetProperty("field").GetString()} {p.GetProperty("code").GetString()}")
                .Order(StringComparer.Ordinal));
        Assert.All(result.Json.GetProperty("problems").EnumerateArray(), p => Assert.True(p.GetProperty("message").GetString()!.Length > 20, p.ToString()));
        Assert.Equal(before, await StoredAsync());
        Assert.False(Directory.Exists(Output));
    }
}
