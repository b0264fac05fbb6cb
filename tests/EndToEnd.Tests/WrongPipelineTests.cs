using TinyMLaaS.EndToEnd.Tests.WrongPipelines;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Every document of the folder, on one server.</summary>
public sealed class WrongPipelineTests(WrongPipelineTests.Server server) : IClassFixture<WrongPipelineTests.Server>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static IEnumerable<TheoryDataRow<string>> Names => WrongPipeline.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_wrong_document_is_refused_with_all_its_violations_and_nothing_is_stored(string name)
    {
        var wrong = WrongPipeline.Named(name);
        var before = server.Stored();

        var result = (await TinymlCommand.RunAsync(
            Cancellation, "run", Samples.Model, "--pipeline", wrong.DocumentPath, "--dataset", Samples.Calibration, "--dataset", Samples.Evaluation,
            "--out", server.Output, "--server", server.Url, "--json")).Expect(2);

        Assert.Equal("rejected", result.Json.GetProperty("state").GetString());
        Assert.Equal(
            wrong.Violations.Select(v => $"{v.Step} {v.Field} {v.Code}").Order(StringComparer.Ordinal),
            result.Json.GetProperty("problems").EnumerateArray()
                .Select(p => $"{(p.TryGetProperty("step", out var step) ? step.GetInt32() : null as int?)} {p.GetProperty("field").GetString()} {p.GetProperty("code").GetString()}")
                .Order(StringComparer.Ordinal));
        Assert.All(result.Json.GetProperty("problems").EnumerateArray(), p => Assert.True(p.GetProperty("message").GetString()!.Length > 20, p.ToString()));
        Assert.Equal(before, server.Stored());
        Assert.False(Directory.Exists(server.Output));
    }

    /// <summary>A server in a process of its own, and a picture of everything that it has stored.</summary>
    public sealed class Server : IAsyncLifetime
    {
        private readonly TemporaryFolder _folder = new();
        private ServeProcess? _process;

        public string Url => _process!.Url;

        public string Output => _folder.Output;

        public async ValueTask InitializeAsync()
        {
            _process = await ServeProcess.StartAsync(_folder.Home, 0, CancellationToken.None);
            // Until the workers are known and have been written down; what comes after is the test's own doing.
            (await TinymlCommand.RunAsync(CancellationToken.None, "transformers", "--server", Url)).Expect(0);
        }

        /// <summary>Rows of every table but the workers' presence, which changes by itself, and every file of the store.</summary>
        public string Stored() => string.Join('\n',
        [
            .. DatabaseRows.Count(Path.Combine(_folder.Home, "pipeline-api.db")),
            .. DatabaseRows.Count(Path.Combine(_folder.Home, "orchestrator.db")),
            .. Directory.EnumerateFiles(Path.Combine(_folder.Home, "artifacts"), "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal),
        ]);

        public async ValueTask DisposeAsync()
        {
            await _process!.DisposeAsync();
            _folder.Dispose();
        }
    }
}
