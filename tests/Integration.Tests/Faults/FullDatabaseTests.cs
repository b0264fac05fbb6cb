using System.Net;
using System.Net.Http.Json;
using Npgsql;
using TinyMLaaS.Contracts;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>F6: the disk of the database is full while runs are active; first for tables alone, then for its log too, where the server ends itself.</summary>
public sealed class FullDatabaseTests(FullDatabaseTests.SmallServers servers) : IClassFixture<FullDatabaseTests.SmallServers>
{
    [Fact]
    public async Task A_database_whose_disk_is_full_loses_no_run_that_was_accepted_and_the_api_says_why_it_accepts_no_more()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        await stack.StartWorkersAsync(FullDiskTests.Worker());
        await stack.ReadyAsync();
        var model = await stack.UploadAsync("network");
        var runs = new List<Guid> { await stack.RunAsync(model, "tests/slow") };
        // The log has room for a while; the tables have none.
        await servers.Database.ScalarAsync(faulty.DatabaseName, "SELECT pg_switch_wal()::text");

        servers.Disk.Fill();
        await RefusedAsync(stack, model, runs);
        await Stack.UntilAsync(
            async () => (await stack.ReadinessAsync()).Missing.Any(m => m.Service == "pipeline-api-database" && m.Reason.Contains("the disk of the database is full", StringComparison.Ordinal)),
            async () => $"nobody says that the database's disk is full: {string.Join(", ", (await stack.ReadinessAsync()).Missing)}{stack.Outputs()}");
        await Assert.ThrowsAnyAsync<NpgsqlException>(async () =>
        {
            for (var i = 0; i < 100; i++)
                await servers.Database.ScalarAsync(faulty.DatabaseName, "SELECT pg_logical_emit_message(false, 'filling', repeat('x', 8000000))::text");
        });
        await RefusedAsync(stack, model, runs);

        servers.Disk.MakeRoom();
        if (!servers.Database.IsRunning)
            await servers.Database.StartAgainAsync();
        runs.Add(await stack.AcceptedAsync(model, "after", "tests/slow"));
        await FullDiskTests.SucceedAsync(faulty, runs);
        await stack.ReadyAsync();
    }

    /// <summary>Submits until it is refused as it should be. What was accepted before that counts.</summary>
    private static Task RefusedAsync(Stack stack, string model, List<Guid> runs) => Stack.UntilAsync(
        async () =>
        {
            using var answer = await stack.SubmitAsync(model, null, "tests/slow");
            if (answer.StatusCode == HttpStatusCode.Accepted)
            {
                runs.Add((Guid)(await answer.Content.ReadFromJsonAsync<System.Text.Json.Nodes.JsonNode>(Stack.Cancellation))!["id"]!);
                return false;
            }
            var problem = await answer.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Stack.Cancellation);
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "service-unavailable", "application/problem+json"), (answer.StatusCode, problem!.Code, answer.Content.Headers.ContentType!.MediaType));
            return true;
        },
        () => Task.FromResult($"{runs.Count} runs were accepted, and none refused{stack.Outputs()}"));

    /// <summary>Servers of which the database has a small disk.</summary>
    public sealed class SmallServers : FaultServers
    {
        private const int Megabytes = 300;

        internal SmallDisk Disk { get; private set; } = null!;

        private protected override async Task<PostgresServer> StartDatabaseAsync()
        {
            Disk = await SmallDisk.MountAsync(Megabytes);
            return await PostgresServer.StartInAsync(Directory.CreateDirectory(Path.Combine(Disk.Folder, "postgres")).FullName, "max_wal_size=64MB", "min_wal_size=32MB");
        }

        public override async ValueTask DisposeAsync()
        {
            await base.DisposeAsync();
            await Disk.DisposeAsync();
        }
    }
}
