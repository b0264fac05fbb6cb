using System.Globalization;
using System.Net;

namespace TinyMLaaS.ModelServer;

/// <summary>What a server is started with.</summary>
internal sealed record ServerOptions
{
    public const string Help = """
        model-server: serves ONNX networks over HTTP, Open Inference Protocol v2.

          model-server [options]   serve until SIGTERM
          model-server health      ask the server at --port whether it is ready; exit code 0 when it is

          --models FOLDER          NAME.onnx files, or a models.json that names files with their digests (/models)
          --address IP             address to listen on (127.0.0.1)
          --port N                 port to listen on (8080)
          --max-body-mib N         largest body of a request, 1 to 1024 (16)
          --max-memory-mib N       what the bodies of all requests and answers may hold at once, 1 to 65536 (4 times the largest body)
          --concurrency N          inferences at once, 1 to 256 (the number of processors)
          --threads N              threads of one inference, 1 to 256 (the number of processors)
          --time-limit-s N         longest inference, 1 to 3600 (60)

        Each option can be given as an environment variable, too, e.g. MODEL_SERVER_MAX_BODY_MIB=64.
        """;

    private const string Prefix = "MODEL_SERVER_";
    private static readonly string[] Names = ["models", "address", "port", "max-body-mib", "max-memory-mib", "concurrency", "threads", "time-limit-s"];

    public required string Models { get; init; }

    public required IPAddress Address { get; init; }

    public required int Port { get; init; }

    public required int MaxBodyBytes { get; init; }

    public required long MaxMemoryBytes { get; init; }

    public required int Concurrency { get; init; }

    public required int Threads { get; init; }

    public required TimeSpan TimeLimit { get; init; }

    /// <summary>Reads arguments, then the environment, then the defaults; null, with all that is wrong, where something is.</summary>
    public static ServerOptions? Read(IReadOnlyList<string> arguments, Func<string, string?> environment, out IReadOnlyList<string> wrong)
    {
        var errors = new List<string>();
        var given = new Dictionary<string, string>(StringComparer.Ordinal);
        for (var i = 0; i < arguments.Count; i++)
        {
            var name = arguments[i].StartsWith("--", StringComparison.Ordinal) ? arguments[i][2..] : "";
            if (!Names.Contains(name))
                errors.Add($"There is no option '{arguments[i]}'. Expected --{string.Join(", --", Names)}.");
            else if (i + 1 == arguments.Count)
                errors.Add($"--{name} has no value.");
            else
                given[name] = arguments[++i];
        }
        foreach (var name in Names)
        {
            if (!given.ContainsKey(name) && environment(Prefix + name.ToUpperInvariant().Replace('-', '_')) is { Length: > 0 } text)
                given[name] = text;
        }
        int Number(string name, int least, int most, int absent)
        {
            if (!given.TryGetValue(name, out var text))
                return absent;
            if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most)
                return number;
            errors.Add($"--{name} is '{text}'. Expected a whole number from {least} to {most}.");
            return absent;
        }
        var address = IPAddress.Loopback;
        if (given.TryGetValue("address", out var ip) && !IPAddress.TryParse(ip, out address))
            errors.Add($"--address is '{ip}'. Expected an IP address, e.g. 0.0.0.0.");
        var body = Number("max-body-mib", 1, 1024, 16);
        var options = new ServerOptions
        {
            Models = given.GetValueOrDefault("models", "/models"),
            Address = address ?? IPAddress.Loopback,
            Port = Number("port", 0, 65535, 8080),
            MaxBodyBytes = body << 20,
            MaxMemoryBytes = (long)Number("max-memory-mib", 1, 65536, 4 * body) << 20,
            Concurrency = Number("concurrency", 1, 256, Environment.ProcessorCount),
            Threads = Number("threads", 1, 256, Environment.ProcessorCount),
            TimeLimit = TimeSpan.FromSeconds(Number("time-limit-s", 1, 3600, 60)),
        };
        if (options.MaxMemoryBytes < options.MaxBodyBytes)
            errors.Add($"--max-memory-mib is less than --max-body-mib ({body}): no such body could be taken.");
        wrong = errors;
        return errors.Count == 0 ? options : null;
    }
}
