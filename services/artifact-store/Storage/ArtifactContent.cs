using System.Buffers;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>
/// The bytes of an artifact, or of a part of one, checked while they are read: from the first to the last they are hashed on the way, and the last ones are given out only when the
/// digest is right. So whoever has all bytes has the right ones. Reading from anywhere needs <see cref="VerifyAsync"/> before.
/// </summary>
internal sealed class ArtifactContent : Stream
{
    private const int BlockBytes = 1 << 20;

    private readonly SafeFileHandle _file;
    private readonly long _offset;
    private readonly Digest _digest;
    private readonly Action<bool> _checked;
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private long _position;
    private bool _verified;

    /// <param name="file">Open for reading; disposed of with this.</param>
    /// <param name="digest">What the bytes must have.</param>
    /// <param name="verified">True when this very file has been checked a moment ago.</param>
    /// <param name="checked">Told once whether the digest is right.</param>
    /// <param name="offset">Where in the file they begin.</param>
    /// <param name="length">How many there must be; null: to the end of the file.</param>
    public ArtifactContent(SafeFileHandle file, Digest digest, bool verified, Action<bool> @checked, long offset = 0, long? length = null)
    {
        _file = file;
        _offset = offset;
        _digest = digest;
        _checked = @checked;
        IsVerifiedLately = verified;
        Length = length ?? RandomAccess.GetLength(file) - offset;
    }

    /// <summary>True when this very file has been checked a moment ago, so that a part of it may be read by itself.</summary>
    public bool IsVerifiedLately { get; }

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <summary>True for its length alone until <see cref="VerifyAsync"/>.</summary>
    public override bool CanSeek => true;

    /// <inheritdoc/>
    public override bool CanWrite => false;

    /// <inheritdoc/>
    public override long Length { get; }

    /// <inheritdoc/>
    public override long Position
    {
        get => _position;
        set => Seek(value, SeekOrigin.Begin);
    }

    /// <summary>Makes reading from anywhere possible: all bytes are hashed now, unless that was done a moment ago.</summary>
    /// <exception cref="ArtifactDamagedException">They have another digest.</exception>
    public async Task VerifyAsync(CancellationToken cancellation)
    {
        if (!IsVerifiedLately && !_verified)
        {
            var block = ArrayPool<byte>.Shared.Rent(BlockBytes);
            try
            {
                while (await ReadAsync(block, cancellation) > 0)
                {
                }
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(block);
            }
        }
        _verified = true;
        _position = 0;
    }

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = await RandomAccess.ReadAsync(_file, buffer[..Within(buffer.Length)], _offset + _position, cancellationToken);
        Check(buffer.Span[..read]);
        return read;
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count)
    {
        var read = RandomAccess.Read(_file, buffer.AsSpan(offset, Within(count)), _offset + _position);
        Check(buffer.AsSpan(offset, read));
        return read;
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => _verified
        ? _position = origin switch { SeekOrigin.Begin => offset, SeekOrigin.Current => _position + offset, _ => Length + offset }
        : throw new NotSupportedException("The bytes are not verified yet.");

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _file.Dispose();
            _hash.Dispose();
        }
        base.Dispose(disposing);
    }

    // A part ends before its file does.
    private int Within(int count) => (int)Math.Clamp(Length - _position, 0, count);

    private void Check(ReadOnlySpan<byte> read)
    {
        var before = _position;
        _position += read.Length;
        if (_verified)
            return;
        _hash.AppendData(read);
        // A file that was cut meanwhile ends before its length.
        if (_position < Length && read.Length > 0)
            return;
        if (before == Length && Length > 0)
            return;
        var right = Digest.FromHash(_hash.GetHashAndReset()) == _digest;
        _checked(right);
        if (!right)
            throw new ArtifactDamagedException(_digest);
    }
}
