using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace TinyMLaaS.Servers.Testing;

/// <summary>
/// Lets another .NET process collect its garbage, all of it, so that what it holds then is what it needs. Speaks the runtime's own diagnostic protocol over its socket: a session of events
/// whose provider is told to collect.
/// </summary>
internal static class GarbageCollection
{
    private const string Provider = "Microsoft-Windows-DotNETRuntime";
    private const ulong CollectKeyword = 0x80_0000;
    private const uint Informational = 4;
    private const int HeaderBytes = 20;
    private const byte EventPipe = 2;
    private const byte StopTracing = 1;
    private const byte CollectTracing = 3;
    private const byte Ok = 0;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    public static async Task CollectAsync(int pid)
    {
        var start = await StartTimeAsync(pid);
        // The number alone may have been that of a process that was killed, and left its socket behind.
        var endpoint = new UnixDomainSocketEndPoint(Path.Combine(Path.GetTempPath(), string.Create(CultureInfo.InvariantCulture, $"dotnet-diagnostic-{pid}-{start}-socket")));
        using var limit = new CancellationTokenSource(Limit);
        await using var events = await AskAsync(endpoint, Message(CollectTracing, CollectPayload()), limit.Token);
        var session = new byte[8];
        await events.ReadExactlyAsync(session, limit.Token);
        // The collection is done before the session's first block of events comes.
        await events.ReadExactlyAsync(new byte[64], limit.Token);
        // A session that nobody stops stays, with its buffer and its socket, and would be the growth that is looked for.
        var rest = events.CopyToAsync(Stream.Null, limit.Token);
        await using var stopped = await AskAsync(endpoint, Message(StopTracing, session), limit.Token);
        await rest;
    }

    private static async Task<NetworkStream> AskAsync(UnixDomainSocketEndPoint endpoint, byte[] message, CancellationToken cancellation)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var answer = await ConnectAsync(socket, endpoint, cancellation);
        await answer.WriteAsync(message, cancellation);
        var header = new byte[HeaderBytes];
        await answer.ReadExactlyAsync(header, cancellation);
        return header[17] == Ok ? answer : throw new InvalidOperationException($"{endpoint} does not take the request.");
    }

    private static async Task<NetworkStream> ConnectAsync(Socket socket, EndPoint endpoint, CancellationToken cancellation)
    {
        try
        {
            await socket.ConnectAsync(endpoint, cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>In ticks since the machine started: field 22 of its line, where what is in brackets may hold anything.</summary>
    private static async Task<string> StartTimeAsync(int pid)
    {
        var line = await File.ReadAllTextAsync(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"));
        return line[(line.LastIndexOf(')') + 2)..].Split(' ')[22 - 3];
    }

    private static byte[] CollectPayload()
    {
        var name = Encoding.Unicode.GetBytes(Provider + '\0');
        // Size of the buffer in MB, format 1, nothing told of all code at the end, one provider: keywords, level, name, no arguments.
        var payload = new byte[4 + 4 + 1 + 4 + 8 + 4 + 4 + name.Length + 4];
        BinaryPrimitives.WriteUInt32LittleEndian(payload, 1);
        BinaryPrimitives.WriteUInt32LittleEndian(payload.AsSpan(4), 1);
        BinaryPrimitives.WriteUInt32LittleEndian(payload.AsSpan(9), 1);
        BinaryPrimitives.WriteUInt64LittleEndian(payload.AsSpan(13), CollectKeyword);
        BinaryPrimitives.WriteUInt32LittleEndian(payload.AsSpan(21), Informational);
        BinaryPrimitives.WriteUInt32LittleEndian(payload.AsSpan(25), (uint)(Provider.Length + 1));
        name.CopyTo(payload, 29);
        return payload;
    }

    private static byte[] Message(byte command, byte[] payload)
    {
        var message = new byte[HeaderBytes + payload.Length];
        "DOTNET_IPC_V1"u8.CopyTo(message);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(14), (ushort)message.Length);
        message[16] = EventPipe;
        message[17] = command;
        payload.CopyTo(message, HeaderBytes);
        return message;
    }
}
