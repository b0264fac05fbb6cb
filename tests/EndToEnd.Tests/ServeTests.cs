using System.Text.Json;

namespace TinyMLaaS.EndToEnd.Tests;

public sealed class ServeTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_second_server_on_a_home_is_refused_and_the_first_one_named()
    {
        using var folder = new TemporaryFolder();
        await using var first = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);

        var second = await TinymlCommand.RunAsync(Cancellation, "serve", "--home", folder.Home, "--port", "0", "--json");

        Assert.Equal(4, second.ExitCode);
        Assert.Contains($"in use by process {first.Id} at {first.Url}", second.Error, StringComparison.Ordinal);
        Assert.Equal("home-in-use", second.Json.GetProperty("problems")[0].GetProperty("code").GetString());
        // The refused one has not told anybody that the first is gone.
        Assert.Equal(first.Id, JsonElement.Parse(await File.ReadAllTextAsync(Path.Combine(folder.Home, "server.json"), Cancellation)).GetProperty("pid").GetInt32());
    }

    [Fact]
    public async Task A_command_uses_the_server_of_its_home_and_starts_none()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);

        var result = (await TinymlCommand.RunAsync(Cancellation, "transformers", "--home", folder.Home, "--json")).Expect(0);

        Assert.Contains($"process {server.Id}", result.Error, StringComparison.Ordinal);
        Assert.Equal(
            ["compiler/float16", "compiler/fuse", "compiler/quantize", "compiler/quantize-dynamic", "installer/bundle", "installer/container"],
            result.Json.GetProperty("items").EnumerateArray().Select(t => t.GetProperty("descriptor").GetProperty("name").GetString()).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task After_a_kill_the_next_server_of_the_home_removes_what_was_left()
    {
        using var folder = new TemporaryFolder();
        string sockets;
        await using (var killed = await ServeProcess.StartAsync(folder.Home, 0, Cancellation))
        {
            await killed.KillAsync();
            sockets = JsonElement.Parse(await File.ReadAllTextAsync(Path.Combine(folder.Home, "server.json"), Cancellation)).GetProperty("sockets").GetString()!;
            Assert.True(Directory.Exists(sockets));
            Directory.CreateDirectory(Path.Combine(folder.Home, "work", "attempt"));
            await File.WriteAllTextAsync(Path.Combine(folder.Home, "work", "attempt", "scratch"), "half", Cancellation);
        }

        await using var next = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);

        Assert.False(Directory.Exists(sockets));
        Assert.False(Directory.Exists(Path.Combine(folder.Home, "work", "attempt")));
    }

    [Fact]
    public async Task What_a_server_keeps_can_be_read_by_its_owner_alone()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);
        if (OperatingSystem.IsWindows())
            return;

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(folder.Home));
        var sockets = JsonElement.Parse(await File.ReadAllTextAsync(Path.Combine(folder.Home, "server.json"), Cancellation)).GetProperty("sockets").GetString()!;
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(sockets));
    }

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    [InlineData("192.0.2.1")]
    public async Task An_address_that_others_can_reach_is_refused(string address)
    {
        using var folder = new TemporaryFolder();

        var result = (await TinymlCommand.RunAsync(Cancellation, "serve", "--home", folder.Home, "--bind", address, "--json")).Expect(2);

        Assert.Equal("no-keys", result.Json.GetProperty("problems")[0].GetProperty("code").GetString());
        Assert.Contains("which is more than loopback", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task With_a_key_a_server_listens_where_others_reach_it_and_answers_that_key_alone()
    {
        using var folder = new TemporaryFolder();
        var made = (await TinymlCommand.RunAsync(Cancellation, "key", "create", "of-a-test", "--scope", "runs:read", "--scope", "keys:admin", "--home", folder.Home, "--json")).Expect(0);
        var key = made.Json.GetProperty("key").GetString()!;
        await using var server = await ServeProcess.StartAsync(folder.Home, 0, Cancellation, "--bind", "0.0.0.0");
        var url = server.Url.Replace("0.0.0.0", "127.0.0.1", StringComparison.Ordinal);

        var without = (await TinymlCommand.RunAsync(Cancellation, "runs", "--server", url, "--json")).Expect(4);
        Assert.Equal("key-missing", without.Json.GetProperty("problems")[0].GetProperty("code").GetString());
        var notPermitted = (await TinymlCommand.RunAsync(Cancellation, "cancel", Guid.NewGuid().ToString(), "--server", url, "--key", key, "--json")).Expect(4);
        Assert.Contains("runs:write", notPermitted.Error, StringComparison.Ordinal);
        var listed = (await TinymlCommand.RunAsync(Cancellation, "key", "list", "--server", url, "--key", key, "--json")).Expect(0);
        var id = Assert.Single(listed.Json.GetProperty("items").EnumerateArray()).GetProperty("id").GetString()!;
        Assert.DoesNotContain(key, listed.Output, StringComparison.Ordinal);
        (await TinymlCommand.RunAsync(Cancellation, "key", "revoke", id, "--server", url, "--key", key, "--json")).Expect(0);
        var revoked = (await TinymlCommand.RunAsync(Cancellation, "runs", "--server", url, "--key", key, "--json")).Expect(4);
        Assert.Equal("key-revoked", revoked.Json.GetProperty("problems")[0].GetProperty("code").GetString());
        Assert.All(Directory.EnumerateFiles(Path.Combine(folder.Home, "logs")), log =>
        {
            using var text = new StreamReader(new FileStream(log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
            Assert.DoesNotContain(key, text.ReadToEnd(), StringComparison.Ordinal);
        });
    }

    [Fact]
    public async Task A_server_that_is_not_there_is_exit_code_4()
    {
        var port = ServeProcess.FreePort();

        var result = (await TinymlCommand.RunAsync(Cancellation, "runs", "--server", $"http://127.0.0.1:{port}", "--json")).Expect(4);

        Assert.Equal("no-server", result.Json.GetProperty("problems")[0].GetProperty("code").GetString());
        Assert.Contains($"http://127.0.0.1:{port}/", result.Error, StringComparison.Ordinal);
    }
}
