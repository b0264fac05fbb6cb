using Npgsql;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Integration.Tests.Stacks;

namespace TinyMLaaS.Integration.Tests;

/// <summary>Wrong documents, and the services as processes of their own.</summary>
public sealed class DistributedWrongPipelineTests(DistributedWrongPipelineTests.Server server) : WrongPipelineCompliance, IClassFixture<DistributedWrongPipelineTests.Server>
{
    protected override string Url => server.Stack.Url.ToString();

    protected override string Output => server.Output;

    protected override Task<string> StoredAsync() => server.StoredAsync();

    /// <summary>A stack, and a picture of everything that it has stored.</summary>
    public sealed class Server(TestServers servers) : IAsyncLifetime
    {
        private readonly EndToEnd.Tests.TemporaryFolder _folder = new();
        private string _database = "";

        internal Stack Stack { get; private set; } = null!;

        public string Output => _folder.Output;

        public async ValueTask InitializeAsync()
        {
            _database = await servers.NewDatabaseAsync();
            Stack = await Stack.StartAsync(await servers.NewVirtualHostAsync(), _database, "compiler,installer");
            foreach (var worker in (string[])["compiler", "installer"])
                await Stack.StartServiceAsync(worker, "");
            await Stack.ReadyAsync();
        }

        /// <summary>Rows of every table and every file of the store.</summary>
        public async Task<string> StoredAsync()
        {
            await using var connection = new NpgsqlConnection(_database);
            await connection.OpenAsync(Stack.Cancellation);
            var tables = await ColumnAsync(connection, "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables WHERE table_schema IN ('orchestrator', 'pipeline_api') ORDER BY 1");
            Assert.True(tables.Count > 5, string.Join(' ', tables));
            var rows = new List<string>();
            foreach (var table in tables)
                rows.Add($"{table}: {(await ColumnAsync(connection, $"SELECT count(*)::text FROM {table}"))[0]}");
            return string.Join('\n', rows.Concat(Directory.EnumerateFiles(Stack.Artifacts, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)));
        }

        public async ValueTask DisposeAsync()
        {
            await Stack.DisposeAsync();
            _folder.Dispose();
        }

        private static async Task<List<string>> ColumnAsync(NpgsqlConnection connection, string sql)
        {
            await using var command = new NpgsqlCommand(sql, connection);
            await using var reader = await command.ExecuteReaderAsync(Stack.Cancellation);
            var values = new List<string>();
            while (await reader.ReadAsync(Stack.Cancellation))
                values.Add(reader.GetString(0));
            return values;
        }
    }
}
