using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Serilog;
using Serilog.Events;
using Serilog.Formatting.Compact;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Compiler;
using TinyMLaaS.Installer;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.PipelineApi;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Standalone;

/// <summary>All services in this process: the in-memory transport, SQLite and files of one home. Only pipeline-api can be reached over TCP.</summary>
public sealed class StandaloneServer : IAsyncDisposable
{
    private const string PublicService = "pipeline-api";
    private const string SocketFolderPrefix = "tinymlaas-";
    private const long LogFileBytes = 8 << 20;
    private const int LogFiles = 8;
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(10);

    private readonly WebApplication _app;
    private readonly StandaloneHome _home;
    private readonly HomeLock _lock;
    private readonly Serilog.Core.Logger _log;
    private readonly string _sockets;
    private int _stopped;

    private StandaloneServer(WebApplication app, StandaloneHome home, HomeLock homeLock, Serilog.Core.Logger log, string sockets, Uri url)
    {
        _app = app;
        _home = home;
        _lock = homeLock;
        _log = log;
        _sockets = sockets;
        Url = url;
    }

    /// <summary>The services that it is made of.</summary>
    public static IReadOnlyList<string> Services { get; } = [.. Modules().Select(m => m.Name)];

    /// <summary>Where pipeline-api answers.</summary>
    public Uri Url { get; }

    /// <summary>The folder that it keeps everything in.</summary>
    public string Home => _home.Folder;

    /// <summary>Starts a server. On return it answers; whether every service is ready is what <c>/health/ready</c> says.</summary>
    /// <exception cref="StandaloneException">It cannot start as asked.</exception>
    public static async Task<StandaloneServer> StartAsync(StandaloneOptions options, CancellationToken cancellation)
    {
        Validate(options);
        var home = new StandaloneHome(options.Home);
        home.Create();
        var homeLock = HomeLock.Take(home);
        Serilog.Core.Logger? log = null;
        WebApplication? app = null;
        string? sockets = null;
        try
        {
            RemoveLeftovers(home);
            sockets = Directory.CreateTempSubdirectory(SocketFolderPrefix).FullName;
            log = CreateLog(home);
            var modules = Modules().Where(m => !options.Without.Contains(m.Name)).Concat(options.Further).Append(new ProcessLifetimeModule()).ToList();
            string Socket(string service) => Path.Combine(sockets, service);
            ServiceListener[] listeners =
            [
                new(PublicService, new IPEndPoint(options.Address, options.Port), null),
                new("orchestrator", null, Socket("orchestrator")),
                new("artifact-store", null, Socket("artifact-store")),
            ];
            app = ServiceHost.Build(modules, listeners, Configuration(home, Socket), log);
            try
            {
                await app.StartAsync(cancellation);
            }
            catch (StartRefusedException e)
            {
                throw new StandaloneException(e.Code, e.Message, e);
            }
            catch (OptionsValidationException e)
            {
                // What its environment says.
                throw new StandaloneException("wrong-options", string.Join(' ', e.Failures), e);
            }
            catch (IOException e) when (options.Port != 0)
            {
                throw new StandaloneException(
                    "port-in-use", $"Cannot listen on {new IPEndPoint(options.Address, options.Port)}: {e.Message} Name another port with --port, or 0 for any that is free.", e);
            }
            var url = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses
                .Select(a => Uri.TryCreate(a, UriKind.Absolute, out var uri) ? uri : null)
                .First(u => u is { Scheme: "http", Port: > 0 } && IPAddress.TryParse(u.Host.Trim('[', ']'), out _))!;
            new ServerFile
            {
                Url = url,
                Pid = Environment.ProcessId,
                Started = app.Services.GetRequiredService<TimeProvider>().GetUtcNow(),
                Sockets = sockets,
            }.Write(home);
            log.Information("Standalone listens on {Url} as process {Pid} without {Without}", url, Environment.ProcessId, options.Without);
            return new StandaloneServer(app, home, homeLock, log, sockets, url);
        }
        catch
        {
            if (app is not null)
                await app.DisposeAsync();
            if (log is not null)
                await log.DisposeAsync();
            RemoveFolder(sockets);
            homeLock.Dispose();
            throw;
        }
    }

    /// <summary>Stops it: no new requests, attempts are given up (another start of the home takes them up again), logs are written.</summary>
    public async Task StopAsync()
    {
        if (Interlocked.Exchange(ref _stopped, 1) != 0)
            return;
        // First, so that nobody is sent to a server that no longer answers.
        File.Delete(_home.ServerFile);
        try
        {
            using var limit = new CancellationTokenSource(StopLimit);
            await _app.StopAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            _log.Warning("The services did not stop within {Limit}", StopLimit);
        }
        finally
        {
            await _app.DisposeAsync();
            await _log.DisposeAsync();
            RemoveFolder(_sockets);
            _lock.Dispose();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await StopAsync();

    private static ServiceModule[] Modules() => [new PipelineApiModule(), new OrchestratorModule(), new ArtifactStoreModule(), new CompilerModule(), new InstallerModule()];

    private static void Validate(StandaloneOptions options)
    {
        if (options.Without.FirstOrDefault(s => !Services.Contains(s)) is { } unknown)
            throw new StandaloneException("unknown-service", $"Cannot leave out '{unknown}': there is no such service. Expected one of {string.Join(", ", Services)}.");
    }

    private static Dictionary<string, string?> Configuration(StandaloneHome home, Func<string, string> socket) => new()
    {
        [ServiceClients.AddressKey("orchestrator")] = "unix:" + socket("orchestrator"),
        [ServiceClients.AddressKey("artifact-store")] = "unix:" + socket("artifact-store"),
        ["PipelineApi:Database"] = home.ApiDatabase,
        ["PipelineApi:MigrateAtStart"] = "true",
        ["PipelineApi:ExpectedWorkers"] = "compiler,installer",
        ["Orchestrator:Database"] = home.OrchestratorDatabase,
        ["Orchestrator:MigrateAtStart"] = "true",
        ["Orchestrator:WorkersShareProcess"] = "true",
        ["ArtifactStore:Root"] = home.Artifacts,
        ["Worker:WorkFolder"] = home.Work,
    };

    private static Serilog.Core.Logger CreateLog(StandaloneHome home) => new LoggerConfiguration()
        .MinimumLevel.Information()
        .MinimumLevel.Override("Microsoft", LogEventLevel.Warning)
        .MinimumLevel.Override("System.Net.Http", LogEventLevel.Warning)
        .MinimumLevel.Override("MassTransit", LogEventLevel.Warning)
        .WriteTo.File(
            new CompactJsonFormatter(), Path.Combine(home.Logs, "standalone-.json"), rollingInterval: RollingInterval.Day,
            fileSizeLimitBytes: LogFileBytes, rollOnFileSizeLimit: true, retainedFileCountLimit: LogFiles)
        .CreateLogger();

    private static void RemoveLeftovers(StandaloneHome home)
    {
        var killed = ServerFile.TryRead(home.Folder);
        // Only what has our name and place: the file is a hint, not an order to delete.
        if (killed is not null && Path.GetFileName(killed.Sockets).StartsWith(SocketFolderPrefix, StringComparison.Ordinal)
            && Path.GetDirectoryName(Path.GetFullPath(killed.Sockets)) == Path.GetDirectoryName(Path.GetFullPath(Path.Combine(Path.GetTempPath(), "x"))))
            RemoveFolder(killed.Sockets);
        File.Delete(home.ServerFile);
        home.ClearWork();
    }

    private static void RemoveFolder(string? folder)
    {
        try
        {
            if (folder is not null)
                Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Empty sockets in the temporary folder harm nobody.
        }
    }
}
