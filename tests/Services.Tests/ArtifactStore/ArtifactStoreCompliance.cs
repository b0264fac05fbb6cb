using System.Security.Cryptography;
using System.Text;
using TinyMLaaS.ArtifactStore.Storage;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>What every store must do, whatever it keeps its bytes in.</summary>
public abstract class ArtifactStoreCompliance
{
    private const long MaxBytes = 1 << 20;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Gives_back_the_bytes_under_their_sha256()
    {
        var store = await CreateAsync(MaxBytes);
        var bytes = Bytes(300_000, seed: 1);

        var stored = Assert.IsType<StoreResult.Stored>(await StoreAsync(store, "acme", "onnx", bytes));

        Assert.True(stored.Created);
        Assert.Equal("sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes)), stored.Artifact.Digest);
        Assert.Equal(bytes.Length, stored.Artifact.Size);
        Assert.Equal("onnx", stored.Artifact.Kind);
        Assert.Equal(bytes, await ReadAsync(store, "acme", stored.Artifact.Digest));
    }

    [Fact]
    public async Task Stores_the_same_bytes_once()
    {
        var store = await CreateAsync(MaxBytes);
        var bytes = Bytes(1000, seed: 2);

        var first = Assert.IsType<StoreResult.Stored>(await StoreAsync(store, "acme", "onnx", bytes));
        var second = Assert.IsType<StoreResult.Stored>(await StoreAsync(store, "acme", "onnx", bytes));

        Assert.False(second.Created);
        Assert.Equal(first.Artifact, second.Artifact);
    }

    [Fact]
    public async Task Knows_the_same_bytes_under_each_kind_they_were_stored_as()
    {
        var store = await CreateAsync(MaxBytes);
        var bytes = Bytes(10, seed: 3);

        await StoreAsync(store, "acme", "report", bytes);
        var stored = Assert.IsType<StoreResult.Stored>(await StoreAsync(store, "acme", "log", bytes));

        Assert.True(stored.Created);
        var opened = await store.OpenAsync(Tenant("acme"), Address(stored.Artifact.Digest), Cancellation);
        await using (opened!.Content)
            Assert.Equal(["report", "log"], opened.Kinds);
    }

    [Fact]
    public async Task Hides_what_another_tenant_stored()
    {
        var store = await CreateAsync(MaxBytes);
        var stored = Assert.IsType<StoreResult.Stored>(await StoreAsync(store, "acme", "onnx", Bytes(10, seed: 4)));

        Assert.Null(await store.OpenAsync(Tenant("other"), Address(stored.Artifact.Digest), Cancellation));
    }

    [Fact]
    public async Task Finds_nothing_that_was_not_stored()
    {
        var store = await CreateAsync(MaxBytes);

        Assert.Null(await store.OpenAsync(Tenant("acme"), Address("sha256:" + new string('0', 64)), Cancellation));
    }

    [Fact]
    public async Task Refuses_bytes_other_than_the_expected_ones_and_keeps_nothing()
    {
        var store = await CreateAsync(MaxBytes);
        var bytes = Bytes(10, seed: 5);
        var digest = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes));

        var refused = Assert.IsType<StoreResult.OtherDigest>(await StoreAsync(store, "acme", "onnx", bytes, expected: "sha256:" + new string('a', 64)));

        Assert.Equal(digest, refused.Actual.Text);
        Assert.Null(await store.OpenAsync(Tenant("acme"), Address(digest), Cancellation));
        Assert.IsType<StoreResult.Stored>(await StoreAsync(store, "acme", "onnx", bytes, expected: digest));
    }

    [Fact]
    public async Task Takes_exactly_the_largest_size_and_not_a_byte_more()
    {
        var store = await CreateAsync(maxBytes: 1000);
        var tooLarge = Bytes(1001, seed: 6);

        Assert.IsType<StoreResult.Stored>(await StoreAsync(store, "acme", "onnx", Bytes(1000, seed: 6)));
        Assert.Equal(1000, Assert.IsType<StoreResult.TooLarge>(await StoreAsync(store, "acme", "onnx", tooLarge)).MaxBytes);
        Assert.Null(await store.OpenAsync(Tenant("acme"), Address("sha256:" + Convert.ToHexStringLower(SHA256.HashData(tooLarge))), Cancellation));
    }

    [Fact]
    public async Task Refuses_an_artifact_of_no_bytes()
    {
        var store = await CreateAsync(MaxBytes);

        Assert.IsType<StoreResult.Empty>(await StoreAsync(store, "acme", "onnx", []));
    }

    [Fact]
    public async Task Survives_a_source_that_breaks_off()
    {
        var store = await CreateAsync(MaxBytes);
        var half = Bytes(5000, seed: 7);

        await Assert.ThrowsAsync<IOException>(() => store.StoreAsync(Tenant("acme"), "onnx", new BrokenStream(half), null, Cancellation));

        Assert.Null(await store.OpenAsync(Tenant("acme"), Address("sha256:" + Convert.ToHexStringLower(SHA256.HashData(half))), Cancellation));
    }

    [Fact]
    public async Task Many_writers_of_the_same_bytes_all_succeed()
    {
        var store = await CreateAsync(MaxBytes);
        var bytes = Bytes(200_000, seed: 8);

        var results = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => StoreAsync(store, "acme", "onnx", bytes))));

        var artifact = Assert.Single(results.Select(r => Assert.IsType<StoreResult.Stored>(r).Artifact).Distinct());
        Assert.Equal(bytes, await ReadAsync(store, "acme", artifact.Digest));
    }

    [Fact]
    public async Task Reports_no_fault_when_it_can_store()
    {
        var store = await CreateAsync(MaxBytes);

        Assert.Null(await store.FindFaultAsync(Cancellation));
    }

    [Fact]
    public async Task A_kind_that_does_not_exist_is_a_bug_of_the_caller()
    {
        var store = await CreateAsync(MaxBytes);

        await Assert.ThrowsAsync<ArgumentException>(() => StoreAsync(store, "acme", "../../etc", Encoding.UTF8.GetBytes("x")));
    }

    private protected abstract Task<IArtifactStore> CreateAsync(long maxBytes);

    private protected static TenantName Tenant(string text) => TenantName.TryParse(text, out var tenant) ? tenant : throw new ArgumentException(text);

    private protected static Digest Address(string text) => Digest.TryParse(text, out var digest) ? digest : throw new ArgumentException(text);

    private protected static Task<StoreResult> StoreAsync(IArtifactStore store, string tenant, string kind, byte[] bytes, string? expected = null) =>
        store.StoreAsync(Tenant(tenant), kind, new MemoryStream(bytes), expected is null ? null : Address(expected), Cancellation);

    private protected static byte[] Bytes(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static async Task<byte[]> ReadAsync(IArtifactStore store, string tenant, string digest)
    {
        await using var content = (await store.OpenAsync(Tenant(tenant), Address(digest), Cancellation))!.Content;
        using var copy = new MemoryStream();
        await content.CopyToAsync(copy, Cancellation);
        return copy.ToArray();
    }

    private sealed class BrokenStream(byte[] half) : MemoryStream(half)
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            await base.ReadAsync(buffer, cancellationToken) is var read and > 0 ? read : throw new IOException("The connection broke.");
    }
}
