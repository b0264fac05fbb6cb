using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

public sealed class FileSystemArtifactStoreTests : ArtifactStoreCompliance, IDisposable
{
    private readonly TemporaryFolder _root = new();
    private readonly List<FileSystemArtifactStore> _stores = [];
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UnixEpoch.AddYears(50));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Lays_files_out_by_tenant_and_digest_with_the_kind_beside()
    {
        var store = await CreateAsync(1000);
        var bytes = Bytes(10, seed: 1);
        var hex = Convert.ToHexStringLower(SHA256.HashData(bytes));

        await StoreAsync(store, "acme", "onnx", bytes);

        Assert.Equal(
            [$"acme/sha256/{hex[..2]}/{hex}", $"acme/sha256/{hex[..2]}/{hex}.onnx"],
            FilesExceptLock().Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_writer_that_dies_half_way_leaves_no_final_name_and_the_next_start_removes_its_file()
    {
        var dying = (FileSystemArtifactStore)await CreateAsync(1 << 20);
        var source = new StalledStream(Bytes(5000, seed: 2));
        using var never = new CancellationTokenSource();
        var writing = dying.StoreAsync(Tenant("acme"), "onnx", source, null, never.Token);
        await source.Stalled.WaitAsync(TimeSpan.FromSeconds(10), Cancellation);

        var left = Assert.Single(FilesExceptLock());
        Assert.StartsWith(".incoming/", left, StringComparison.Ordinal);
        // The process is gone as far as the folder can tell: its lock is free and its writer never goes on.
        dying.Dispose();
        await CreateAsync(1 << 20);

        Assert.Empty(FilesExceptLock());
        await never.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => writing);
    }

    [Fact]
    public async Task A_cancelled_upload_leaves_nothing()
    {
        var store = await CreateAsync(1 << 20);
        var source = new StalledStream(Bytes(5000, seed: 3));
        using var cancel = new CancellationTokenSource();
        var writing = store.StoreAsync(Tenant("acme"), "onnx", source, null, cancel.Token);
        await source.Stalled.WaitAsync(TimeSpan.FromSeconds(10), Cancellation);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => writing);
        Assert.Empty(FilesExceptLock());
    }

    [Fact]
    public async Task A_refused_upload_leaves_nothing()
    {
        var store = await CreateAsync(100);

        await StoreAsync(store, "acme", "onnx", Bytes(101, seed: 4));
        await StoreAsync(store, "acme", "onnx", []);
        await StoreAsync(store, "acme", "onnx", Bytes(10, seed: 4), expected: "sha256:" + new string('0', 64));

        Assert.Empty(FilesExceptLock());
    }

    [Fact]
    public async Task A_second_store_on_the_same_folder_is_refused()
    {
        await CreateAsync(100);

        var refused = await Assert.ThrowsAsync<IOException>(() => CreateAsync(100));

        Assert.Equal(
            $"Cannot use '{_root.Path}' for artifacts: another artifact-store uses it. Stop that one or set ArtifactStore:Root to another folder.",
            refused.Message);
    }

    [Fact]
    public async Task Good_bytes_replace_a_file_that_was_cut_short_on_disk()
    {
        var store = await CreateAsync(1000);
        var bytes = Bytes(100, seed: 5);
        await StoreAsync(store, "acme", "onnx", bytes);
        var file = _root[Assert.Single(FilesExceptLock(), f => !f.EndsWith(".onnx", StringComparison.Ordinal))];
        await File.WriteAllBytesAsync(file, bytes[..50], Cancellation);

        await StoreAsync(store, "acme", "onnx", bytes);

        Assert.Equal(bytes, await File.ReadAllBytesAsync(file, Cancellation));
    }

    [Fact]
    public async Task An_upload_without_end_is_read_one_byte_past_the_limit_and_no_further()
    {
        var store = await CreateAsync(100_000);
        using var endless = new EndlessStream();

        Assert.IsType<StoreResult.TooLarge>(await store.StoreAsync(Tenant("acme"), "onnx", endless, null, Cancellation));

        Assert.Equal(100_001, endless.Given);
        Assert.Empty(FilesExceptLock());
    }

    [Fact]
    public async Task Whoever_reads_a_file_while_it_is_replaced_keeps_the_file_that_was_opened()
    {
        var store = await CreateAsync(1000);
        var bytes = Bytes(100, seed: 6);
        await StoreAsync(store, "acme", "onnx", bytes);
        var file = _root[Assert.Single(FilesExceptLock(), f => !f.EndsWith(".onnx", StringComparison.Ordinal))];
        await File.WriteAllBytesAsync(file, new byte[50], Cancellation);
        await using var reader = (await store.OpenAsync(Tenant("acme"), Digest.FromHash(SHA256.HashData(bytes)), Cancellation))!.Content;

        await StoreAsync(store, "acme", "onnx", bytes);

        // What it has opened is damaged, and says so; what has come since is not put aside for that.
        await Assert.ThrowsAsync<ArtifactDamagedException>(() => reader.CopyToAsync(Stream.Null, Cancellation));
        Assert.Equal(bytes, await File.ReadAllBytesAsync(file, Cancellation));
        Assert.DoesNotContain(FilesExceptLock(), f => f.EndsWith(".damaged", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(300_000, 0)]
    [InlineData(300_000, 299_999)]
    [InlineData(3_000_000, 1_500_000)]
    public async Task A_bit_that_flips_on_disk_is_found_before_the_last_byte_is_given_out_and_good_bytes_heal_it(int length, int place)
    {
        var store = await CreateAsync(1 << 22);
        var bytes = Bytes(length, seed: 8);
        var digest = Digest.FromHash(SHA256.HashData(bytes));
        await StoreAsync(store, "acme", "onnx", bytes);
        Flip(_root[Assert.Single(FilesExceptLock(), f => f.EndsWith(digest.Hex, StringComparison.Ordinal))], place);

        using var given = new MemoryStream();
        await using (var content = (await store.OpenAsync(Tenant("acme"), digest, Cancellation))!.Content)
            await Assert.ThrowsAsync<ArtifactDamagedException>(() => content.CopyToAsync(given, Cancellation));

        Assert.True(given.Length < length);
        await Assert.ThrowsAsync<ArtifactDamagedException>(() => store.OpenAsync(Tenant("acme"), digest, Cancellation));
        Assert.Contains(FilesExceptLock(), f => f.EndsWith($"{digest.Hex}.damaged", StringComparison.Ordinal));

        await StoreAsync(store, "acme", "onnx", bytes);

        await using (var content = (await store.OpenAsync(Tenant("acme"), digest, Cancellation))!.Content)
        {
            given.SetLength(0);
            await content.CopyToAsync(given, Cancellation);
        }
        Assert.Equal(bytes, given.ToArray());
        Assert.DoesNotContain(FilesExceptLock(), f => f.EndsWith(".damaged", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_part_can_be_read_by_itself_only_after_all_was_verified_and_again_when_the_file_has_changed()
    {
        var store = await CreateAsync(1 << 20);
        var bytes = Bytes(5000, seed: 9);
        var digest = Digest.FromHash(SHA256.HashData(bytes));
        await StoreAsync(store, "acme", "onnx", bytes);
        await using (var content = (await store.OpenAsync(Tenant("acme"), digest, Cancellation))!.Content)
        {
            Assert.Throws<NotSupportedException>(() => content.Position = 10);
            Assert.True(content.IsVerifiedLately);
            await content.VerifyAsync(Cancellation);
            content.Position = 4999;
            Assert.Equal(bytes[4999], content.ReadByte());
        }
        _time.Advance(TimeSpan.FromMinutes(11));
        await using (var content = (await store.OpenAsync(Tenant("acme"), digest, Cancellation))!.Content)
            Assert.False(content.IsVerifiedLately);

        await using (var content = (await store.OpenAsync(Tenant("acme"), digest, Cancellation))!.Content)
            await content.VerifyAsync(Cancellation);
        await using (var content = (await store.OpenAsync(Tenant("acme"), digest, Cancellation))!.Content)
            Assert.True(content.IsVerifiedLately);
        Flip(_root[Assert.Single(FilesExceptLock(), f => f.EndsWith(digest.Hex, StringComparison.Ordinal))], 2500);
        await using (var content = (await store.OpenAsync(Tenant("acme"), digest, Cancellation))!.Content)
            await Assert.ThrowsAsync<ArtifactDamagedException>(() => content.VerifyAsync(Cancellation));
    }

    [Fact]
    public async Task What_was_not_used_since_is_found_page_by_page_and_a_use_meanwhile_saves_it()
    {
        var store = await CreateAsync(1 << 20);
        var stored = new List<(string Tenant, Digest Digest)>();
        for (var i = 0; i < 10; i++)
        {
            var (tenant, seed) = (i < 5 ? "acme" : "beta", i % 5);
            var bytes = Bytes(100 + seed, seed);
            await StoreAsync(store, tenant, "onnx", bytes);
            stored.Add((tenant, Digest.FromHash(SHA256.HashData(bytes))));
        }
        var before = _time.GetUtcNow().AddHours(1);
        _time.Advance(TimeSpan.FromHours(2));
        await StoreAsync(store, "acme", "onnx", Bytes(10, seed: 77));
        await StoreAsync(store, "acme", "log", Bytes(100, seed: 0));
        (await store.OpenAsync(Tenant("beta"), stored[9].Digest, Cancellation))!.Content.Dispose();

        var found = new List<UnusedFile>();
        (TenantName, Digest)? after = null;
        while (await store.FindUnusedAsync(before, after, 3, Cancellation) is { Count: > 0 } page)
        {
            Assert.InRange(page.Count, 1, 3);
            found.AddRange(page);
            after = (page[^1].Tenant, page[^1].Digest);
        }

        Assert.Equal(
            stored.Skip(1).SkipLast(1).OrderBy(s => s.Tenant, StringComparer.Ordinal).ThenBy(s => s.Digest.Hex, StringComparer.Ordinal).Select(s => (s.Tenant, s.Digest.Text)),
            found.Select(f => (f.Tenant.Text, f.Digest.Text)));
        // Used between the finding and the removal.
        (await store.OpenAsync(found[0].Tenant, found[0].Digest, Cancellation))!.Content.Dispose();
        Assert.Null(await store.RemoveUnusedAsync(found[0].Tenant, found[0].Digest, before, Cancellation));
        Assert.Equal(found[1].Size, await store.RemoveUnusedAsync(found[1].Tenant, found[1].Digest, before, Cancellation));
        Assert.Null(await store.RemoveUnusedAsync(found[1].Tenant, found[1].Digest, before, Cancellation));
        Assert.Null(await store.OpenAsync(found[1].Tenant, found[1].Digest, Cancellation));
        Assert.DoesNotContain(FilesExceptLock(), f => f.Contains(found[1].Digest.Hex, StringComparison.Ordinal) && f.StartsWith(found[1].Tenant.Text, StringComparison.Ordinal));
        Assert.NotNull(await store.OpenAsync(found[0].Tenant, found[0].Digest, Cancellation));
    }

    [Fact]
    public async Task Says_why_nothing_can_be_stored()
    {
        var store = await CreateAsync(1000);
        Directory.Delete(_root[".incoming"]);

        var fault = await store.FindFaultAsync(Cancellation);

        Assert.StartsWith($"'{_root.Path}' cannot be written: ", fault, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData("a\\b")]
    [InlineData("Acme")]
    [InlineData("acme\0")]
    [InlineData("ächme")]
    [InlineData(".incoming")]
    public void No_other_text_is_a_tenant(string text) => Assert.False(TenantName.TryParse(text, out _));

    [Fact]
    public void A_tenant_has_at_most_63_characters()
    {
        Assert.True(TenantName.TryParse(new string('a', 63), out _));
        Assert.False(TenantName.TryParse(new string('a', 64), out _));
    }

    [Theory]
    [InlineData("")]
    [InlineData("sha256:")]
    [InlineData("sha256:../../../../../../../../etc/passwd000000000000000000000000000000")]
    [InlineData("sha256:ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789")]
    [InlineData("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde")]
    [InlineData("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0")]
    [InlineData("sha512:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")]
    [InlineData("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")]
    public void No_other_text_is_a_digest(string text) => Assert.False(Digest.TryParse(text, out _));

    public void Dispose()
    {
        foreach (var store in _stores)
            store.Dispose();
        _root.Dispose();
    }

    private protected override async Task<IArtifactStore> CreateAsync(long maxBytes)
    {
        var store = new FileSystemArtifactStore(Options.Create(new ArtifactStoreOptions { Root = _root.Path, MaxBytes = maxBytes }), _time, NullLogger<FileSystemArtifactStore>.Instance);
        await store.StartAsync(Cancellation);
        _stores.Add(store);
        return store;
    }

    internal static void Flip(string file, long place)
    {
        using var disk = new FileStream(file, FileMode.Open, FileAccess.ReadWrite);
        disk.Position = place;
        var before = disk.ReadByte();
        disk.Position = place;
        disk.WriteByte((byte)(before ^ 0x10));
    }

    private IEnumerable<string> FilesExceptLock() => Directory
        .EnumerateFiles(_root.Path, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 })
        .Select(file => Path.GetRelativePath(_root.Path, file))
        .Where(file => file != ".lock");

    private sealed class EndlessStream : MemoryStream
    {
        public long Given { get; private set; }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            // A reader that goes on is an error here and not a test that never ends.
            Assert.InRange(Given, 0, 1_000_000);
            Given += buffer.Length;
            return ValueTask.FromResult(buffer.Length);
        }
    }

    private sealed class StalledStream(byte[] first) : MemoryStream(first)
    {
        private readonly TaskCompletionSource _stalled = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Stalled => _stalled.Task;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (await base.ReadAsync(buffer, cancellationToken) is var read and > 0)
                return read;
            _stalled.SetResult();
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return 0;
        }
    }
}
