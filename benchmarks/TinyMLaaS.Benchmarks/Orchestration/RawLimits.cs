using System.Diagnostics;
using Microsoft.Data.Sqlite;
using Npgsql;
using RabbitMQ.Client;

namespace TinyMLaaS.Benchmarks.Orchestration;

/// <summary>What the parts below can do at most, on this machine and in this run.</summary>
internal static class RawLimits
{
    private static readonly TimeSpan Time = TimeSpan.FromSeconds(3);
    private const int Bytes = 1000;

    /// <summary>Transactions a second that each insert a row of 100 bytes with a prepared statement, durable as the server is set.</summary>
    /// <param name="connectionString">An own database.</param>
    /// <param name="connections">How many write at once.</param>
    public static async Task<double> PostgresCommitsAsync(string connectionString, int connections)
    {
        await using var source = NpgsqlDataSource.Create(connectionString);
        await using (var create = source.CreateCommand("CREATE TABLE IF NOT EXISTS raw_limit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, content text NOT NULL)"))
            await create.ExecuteNonQueryAsync();
        var content = new string('x', 100);
        return await RateAsync(connections, async (_, isOver) =>
        {
            var count = 0;
            await using var connection = await source.OpenConnectionAsync();
            await using var insert = new NpgsqlCommand("INSERT INTO raw_limit (content) VALUES ($1)", connection) { Parameters = { new() { Value = content } } };
            await insert.PrepareAsync();
            for (; !isOver(); count++)
                await insert.ExecuteNonQueryAsync();
            return count;
        });
    }

    /// <summary>Messages of 1 kB a second that quorum queues have confirmed; one channel and queue for each publisher.</summary>
    /// <param name="broker">Address of the broker.</param>
    /// <param name="publishers">Channels that publish at once.</param>
    /// <param name="unconfirmed">Messages of a channel that wait for their confirmation at most.</param>
    public static async Task<double> ConfirmedPublishesAsync(string broker, int publishers, int unconfirmed)
    {
        await using var connection = await new ConnectionFactory { Uri = new Uri(broker) }.CreateConnectionAsync();
        return await RateAsync(publishers, async (publisher, isOver) =>
        {
            var queue = $"raw-limit-{publishers}-{publisher}";
            var confirms = new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true, outstandingPublisherConfirmationsRateLimiter: null);
            await using var channel = await connection.CreateChannelAsync(confirms);
            await channel.QueueDeclareAsync(queue, durable: true, exclusive: false, autoDelete: false, new Dictionary<string, object?> { ["x-queue-type"] = "quorum" });
            var body = new byte[Bytes];
            var properties = new BasicProperties { Persistent = true };
            var count = 0;
            var waiting = new Queue<Task>();
            while (!isOver())
            {
                waiting.Enqueue(channel.BasicPublishAsync("", queue, mandatory: true, properties, body).AsTask());
                count++;
                if (waiting.Count >= unconfirmed)
                    await waiting.Dequeue();
            }
            await Task.WhenAll(waiting);
            await channel.QueueDeleteAsync(queue);
            return count;
        });
    }

    /// <summary>Transactions a second that each insert a row of 100 bytes into SQLite as our services set it.</summary>
    public static async Task<double> SqliteCommitsAsync(string folder)
    {
        await using var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = Path.Combine(folder, "raw-limit.db"), Pooling = false }.ToString());
        await connection.OpenAsync();
        await using var create = connection.CreateCommand();
        create.CommandText = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE raw_limit (id INTEGER PRIMARY KEY, content TEXT NOT NULL)";
        await create.ExecuteNonQueryAsync();
        await using var insert = connection.CreateCommand();
        insert.CommandText = "INSERT INTO raw_limit (content) VALUES ($content)";
        insert.Parameters.AddWithValue("$content", new string('x', 100));
        return await RateAsync(1, async (_, isOver) =>
        {
            var count = 0;
            for (; !isOver(); count++)
                await insert.ExecuteNonQueryAsync();
            return count;
        });
    }

    private static async Task<double> RateAsync(int workers, Func<int, Func<bool>, Task<int>> work)
    {
        var start = Stopwatch.GetTimestamp();
        var counts = await Task.WhenAll(Enumerable.Range(0, workers).Select(w => Task.Run(() => work(w, () => Stopwatch.GetElapsedTime(start) > Time))));
        return counts.Sum() / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
