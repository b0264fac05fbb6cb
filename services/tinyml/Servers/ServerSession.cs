using TinyMLaaS.Standalone;
using TinyMLaaS.Tinyml.Http;

namespace TinyMLaaS.Tinyml.Servers;

/// <summary>A server to talk to for one command: a remote one, the one that uses the home already, or one inside this process.</summary>
internal sealed class ServerSession : IAsyncDisposable
{
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ProbeLimit = TimeSpan.FromSeconds(10);

    private readonly StandaloneServer? _own;

    private ServerSession(ApiClient api, StandaloneServer? own)
    {
        Api = api;
        _own = own;
    }

    public ApiClient Api { get; }

    /// <summary>True when the server ends with this command.</summary>
    public bool IsOwn => _own is not null;

    /// <summary>Finds or starts the server and waits until it is ready.</summary>
    /// <exception cref="CommandException">There is none, or a service is missing.</exception>
    public static async Task<ServerSession> OpenAsync(ServerChoice choice, TimeProvider time, Action<string> say, CancellationToken cancellation)
    {
        var session = await FindAsync(choice, time, say, cancellation);
        try
        {
            await session.Api.WaitUntilReadyAsync(ReadyLimit, cancellation);
            return session;
        }
        catch
        {
            await session.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Api.Dispose();
        if (_own is not null)
            await _own.DisposeAsync();
    }

    /// <summary>What a failed start means for the command line.</summary>
    public static CommandException Translate(StandaloneException e) =>
        new(e.Code is "no-keys" or "unknown-service" or "wrong-options" or "home-not-usable" ? ExitCodes.WrongInput : ExitCodes.NoServer, e.Code, e.Message, inner: e);

    private static async Task<ServerSession> FindAsync(ServerChoice choice, TimeProvider time, Action<string> say, CancellationToken cancellation)
    {
        if (choice.Server is not null)
        {
            if (choice.Without.Count > 0)
                throw new CommandException(ExitCodes.WrongInput, "conflicting-options", "--without leaves a service out of the server that this command starts; with --server it starts none.");
            return new ServerSession(new ApiClient(ParseServer(choice.Server), choice.Key, time, say), null);
        }
        if (choice.Without.Count == 0 && ServerFile.TryRead(choice.Home) is { } file && await AnswersAsync(file.Url, cancellation))
        {
            say($"Using the server at {file.Url} (process {file.Pid}).");
            return new ServerSession(new ApiClient(file.Url, choice.Key, time, say), null);
        }
        try
        {
            var own = await StandaloneServer.StartAsync(new StandaloneOptions { Home = choice.Home, Without = choice.Without }, cancellation);
            return new ServerSession(new ApiClient(own.Url, choice.Key, time, say), own);
        }
        catch (StandaloneException e)
        {
            throw Translate(e);
        }
    }

    private static Uri ParseServer(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"
            ? new Uri(uri.AbsoluteUri.TrimEnd('/') + "/")
            : throw new CommandException(ExitCodes.WrongInput, "bad-server", $"'{text}' is no server address. Expected http://HOST:PORT or https://HOST:PORT.");

    private static async Task<bool> AnswersAsync(Uri url, CancellationToken cancellation)
    {
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = ProbeLimit };
        try
        {
            using var answer = await http.GetAsync(new Uri(url, "health/live"), cancellation);
            return answer.IsSuccessStatusCode;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancellation.IsCancellationRequested)
        {
            return false;
        }
    }
}
