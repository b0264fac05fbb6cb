using System.Text.Json;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.Standalone;

/// <summary>Content of <c>server.json</c>: the server that uses a home now, for those who want to talk to it.</summary>
public sealed record ServerFile
{
    /// <summary>Its address.</summary>
    public required Uri Url { get; init; }

    /// <summary>Its process.</summary>
    public required int Pid { get; init; }

    /// <summary>When it started, UTC.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>The folder of its sockets, which a killed server leaves behind.</summary>
    public required string Sockets { get; init; }

    /// <summary>The file of a home, whether or not a server wrote it and still lives; null when there is none that can be read.</summary>
    public static ServerFile? TryRead(string? home)
    {
        try
        {
            return JsonSerializer.Deserialize<ServerFile>(File.ReadAllBytes(new StandaloneHome(home).ServerFile), ContractJson.Options);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    internal void Write(StandaloneHome home)
    {
        var temporary = home.ServerFile + ".new";
        File.WriteAllBytes(temporary, JsonSerializer.SerializeToUtf8Bytes(this, ContractJson.Options));
        File.Move(temporary, home.ServerFile, overwrite: true);
    }
}
