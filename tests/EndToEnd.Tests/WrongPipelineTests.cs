namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Wrong documents, and one process that is everything.</summary>
public sealed class WrongPipelineTests(WrongPipelineTests.Server server) : WrongPipelineCompliance, IClassFixture<WrongPipelineTests.Server>
{
    protected override string Url => server.Url;

    protected override string Output => server.Output;

    protected override Task<string> StoredAsync() => Task.FromResult(server.Stored());

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
