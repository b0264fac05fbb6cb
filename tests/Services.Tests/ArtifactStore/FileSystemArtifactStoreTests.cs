using System.Security.Cryptography;
using Microsoft.Extensions.Options;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

public sealed class FileSystemArtifactStoreTests : ArtifactStoreCompliance, IDisposable
{
    private readonly TemporaryFolder _root = new();
    private readonly List<FileSystemArtifactStore> _stores = [];

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

        using var read = new MemoryStream();
        await reader.CopyToAsync(read, Cancellation);
        Assert.Equal(new byte[50], read.ToArray());
        Assert.Equal(bytes, await File.ReadAllBytesAsync(file, Cancellation));
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
        var store = new FileSystemArtifactStore(Options.Create(new ArtifactStoreOptions { Root = _root.Path, MaxBytes = maxBytes }));
        await store.StartAsync(Cancellation);
        _stores.Add(store);
        return store;
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
