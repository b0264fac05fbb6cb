using System.Security.Cryptography;
using System.Text.Json;
using TinyMLaaS.Tinyml.Http;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>The command line's uploads over a connection that is cut again and again, through pipeline-api into the store.</summary>
public sealed class UploadTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_file_arrives_although_no_connection_holds_for_a_third_of_it(int seed)
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);
        var path = Path.Combine(folder.Home, "large.bin");
        var random = new Random(seed);
        var bytes = new byte[24 << 20];
        random.NextBytes(bytes);
        await File.WriteAllBytesAsync(path, bytes, Cancellation);
        await using var relay = new CuttingRelay(new Uri(server.Url), () => random.Next(5 << 20, 8 << 20));
        var said = new List<string>();
        using var client = new ApiClient(relay.Address, key: null, TimeProvider.System, said.Add);

        var stored = await client.UploadAsync(path, "dataset", Cancellation);

        Assert.Equal("sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes)), stored.Digest);
        Assert.InRange(relay.Cut, 2, 100);
        Assert.Contains(said, line => line.Contains("is lost", StringComparison.Ordinal));
        using var direct = new ApiClient(new Uri(server.Url), key: null, TimeProvider.System, said.Add);
        var copy = Path.Combine(folder.Home, "copy.bin");
        await direct.DownloadAsync(stored, copy, Cancellation);
        Assert.Equal(bytes, await File.ReadAllBytesAsync(copy, Cancellation));

        // Another command sends nothing: no connection is cut any more.
        var before = relay.Cut;
        Assert.Equal(stored, await client.UploadAsync(path, "dataset", Cancellation));
        Assert.Equal(before, relay.Cut);
    }

    [Fact]
    public async Task What_one_command_has_sent_another_goes_on_with()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);
        var path = Path.Combine(folder.Home, "large.bin");
        var bytes = new byte[24 << 20];
        new Random(3).NextBytes(bytes);
        await File.WriteAllBytesAsync(path, bytes, Cancellation);
        await using (var relay = new CuttingRelay(new Uri(server.Url), () => 12 << 20))
        using (var first = new ApiClient(relay.Address, key: null, TimeProvider.System, _ => { }) { LostLimit = TimeSpan.Zero })
            await Assert.ThrowsAsync<Tinyml.CommandException>(() => first.UploadAsync(path, "dataset", Cancellation));

        // The server may notice a moment later that the first one is gone.
        using (var http = new HttpClient { BaseAddress = new Uri(server.Url) })
        {
            while (await ReceivedAsync(http, bytes) == 0)
                await Task.Delay(100, Cancellation);
        }
        // Enough for the rest and not for the whole.
        await using var second = new CuttingRelay(new Uri(server.Url), () => 18 << 20);
        using var client = new ApiClient(second.Address, key: null, TimeProvider.System, _ => { }) { LostLimit = TimeSpan.Zero };
        var stored = await client.UploadAsync(path, "dataset", Cancellation);

        Assert.Equal("sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes)), stored.Digest);
        Assert.Equal(0, second.Cut);
    }

    private static async Task<long> ReceivedAsync(HttpClient http, byte[] bytes)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/uploads?kind=dataset") { Headers = { { "Tiny-Digest", "sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes)) } } };
        using var answer = await http.SendAsync(request, Cancellation);
        var upload = JsonElement.Parse(await answer.Content.ReadAsStringAsync(Cancellation));
        var received = upload.GetProperty("received").GetInt64();
        if (received == 0)
            (await http.DeleteAsync($"v1/uploads/{upload.GetProperty("id").GetString()}", Cancellation)).Dispose();
        return received;
    }
}
