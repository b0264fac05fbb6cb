using System.Data.Common;
using System.Net;
using System.Net.Sockets;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Microsoft.Win32.SafeHandles;
using RabbitMQ.Client.Exceptions;
using Serilog;
using Serilog.Events;
using Serilog.Formatting.Compact;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// One service as a process of its own, over RabbitMQ. Options come from the environment, e.g. <c>Service__Listen=http://0.0.0.0:8080</c>; every one that is
/// wrong is named before anything starts. The log goes to the standard output, one JSON object a line.
/// </summary>
public static class ServiceProcess
{
    /// <summary>Configuration key of the address that the service listens on.</summary>
    public const string ListenKey = "Service:Listen";

    private const string Migrate = "migrate";
    private const int StandardOutput = 1;
    private const int Done = 0;
    private const int Failed = 1;
    private const int WrongInput = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>Runs the service until it is told to stop; with the argument <c>migrate</c>, brings its database and its queues to this version and ends; with one of the module's verbs, does that and ends.</summary>
    /// <returns>0 done; 1 it failed; 2 an option or argument is wrong.</returns>
    public static async Task<int> RunAsync(ServiceModule module, IReadOnlyList<string> arguments)
    {
        var migrates = arguments is [Migrate];
        var verb = arguments is [var first, ..] ? module.Verbs.SingleOrDefault(v => v.Name == first) : null;
        await using var log = new LoggerConfiguration()
            .MinimumLevel.Information()
            .MinimumLevel.Override("Microsoft", LogEventLevel.Warning)
            .MinimumLevel.Override("System.Net.Http", LogEventLevel.Warning)
            .Enrich.WithProperty("Service", module.Name)
            // The standard output of a verb is its result alone.
            .WriteTo.Console(new CompactJsonFormatter(), standardErrorFromLevel: verb is null ? null : LogEventLevel.Verbose)
            .CreateLogger();
        if (arguments.Count > 0 && !migrates && verb is null)
        {
            log.Fatal("Cannot start {Service}: the arguments are '{Arguments}'. Expected none, or {Verbs}; options come from the environment",
                module.Name, string.Join(' ', arguments), string.Join(", or ", module.Verbs.Select(v => $"{v.Name} {v.Usage}").Prepend(Migrate)));
            return WrongInput;
        }
        try
        {
            await using var app = Build(module, log, serves: !migrates && verb is null);
            if (Violations(app) is { Count: > 0 } violations)
            {
                foreach (var violation in violations)
                    log.Fatal("Cannot start {Service}: {Violation}", module.Name, violation);
                return WrongInput;
            }
            if (migrates)
                await MigrateAsync(app, module, log);
            else if (verb is not null)
                Write(await verb.RunAsync(app.Services, [.. arguments.Skip(1)], CancellationToken.None));
            else
                await app.RunAsync();
            return Done;
        }
        catch (StartRefusedException refused)
        {
            log.Fatal("Cannot start {Service}: {Violation}", module.Name, refused.Message);
            return WrongInput;
        }
        catch (Exception error)
        {
            log.Fatal(error, "{Service} ended: {Reason}", module.Name, error.Message);
            return Failed;
        }
    }

    private static WebApplication Build(ServiceModule module, ILogger log, bool serves)
    {
        var environment = new ConfigurationBuilder().AddEnvironmentVariables().Build();
        // An address that cannot be read is reported with all else; until then any will do.
        var listener = ListenAddress(environment[ListenKey], out _) ?? new IPEndPoint(IPAddress.Loopback, 0);
        return ServiceHost.Build([module], [new ServiceListener(module.Name, listener, null)], new Dictionary<string, string?>(), log, serves ? ServiceBus.RabbitMq : ServiceBus.RabbitMqTopology);
    }

    private static void Write(string line)
    {
        if (line.Length == 0)
            return;
        using var output = new StreamWriter(new FileStream(new SafeFileHandle(StandardOutput, ownsHandle: false), FileAccess.Write));
        output.WriteLine(line);
    }

    private static List<string> Violations(WebApplication app)
    {
        var violations = new List<string>();
        if (ListenAddress(app.Configuration[ListenKey], out var wrong) is null)
            violations.Add(wrong!);
        try
        {
            app.Services.GetService<IStartupValidator>()?.Validate();
        }
        catch (OptionsValidationException error)
        {
            violations.AddRange(error.Failures);
        }
        catch (InvalidOperationException error) when (error.InnerException is FormatException or ArgumentException or OverflowException)
        {
            // A value that cannot even be read as what its option is.
            violations.Add(error.Message);
        }
        catch (AggregateException errors)
        {
            violations.AddRange(errors.Flatten().InnerExceptions.SelectMany(e => e is OptionsValidationException options ? options.Failures : [e.Message]));
        }
        return violations;
    }

    private static IPEndPoint? ListenAddress(string? text, out string? wrong)
    {
        const string Expected = "http://ADDRESS:PORT with a numeric address, e.g. http://127.0.0.1:8080";
        wrong = string.IsNullOrWhiteSpace(text) ? $"{ListenKey} is not set. Set it (environment: Service__Listen) to {Expected}." : null;
        if (wrong is not null)
            return null;
        if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme == "http" && IPAddress.TryParse(uri.Host.Trim('[', ']'), out var address))
            return new IPEndPoint(address, uri.Port);
        wrong = $"{ListenKey} is '{text}'. Expected {Expected}.";
        return null;
    }

    /// <summary>Servers that do not answer yet are waited for: an installation starts all at once.</summary>
    private static async Task MigrateAsync(WebApplication app, ServiceModule module, ILogger log)
    {
        foreach (var migration in app.Services.GetServices<IMigration>())
        {
            await PatientlyAsync(() => migration.ApplyAsync(CancellationToken.None));
            log.Information("{Service} brought {Subject} to its version", module.Name, migration.Subject);
        }
        if (app.Services.GetService<IBusControl>() is { } bus)
        {
            await PatientlyAsync(() => bus.DeployAsync());
            log.Information("{Service} deployed its queues", module.Name);
        }

        async Task PatientlyAsync(Func<Task> act)
        {
            var time = app.Services.GetRequiredService<TimeProvider>();
            for (var began = time.GetTimestamp(); ;)
            {
                try
                {
                    await act();
                    return;
                }
                catch (Exception error) when (IsAway(error) && time.GetElapsedTime(began) < Patience)
                {
                    log.Warning("{Service} cannot migrate yet: {Reason}", module.Name, error.Message);
                    await Task.Delay(Pause, time);
                }
            }
        }
    }

    /// <summary>A server that cannot be reached or is still starting; not one that refuses who we are.</summary>
    private static bool IsAway(Exception error)
    {
        var causes = Causes(error).ToArray();
        return !causes.Any(c => c is AuthenticationFailureException)
            && causes.Any(c => c is DbException { IsTransient: true } or BrokerUnreachableException or ConnectionException or SocketException);
    }

    private static IEnumerable<Exception> Causes(Exception error)
    {
        var inner = error is AggregateException many ? many.InnerExceptions : error.InnerException is { } one ? [one] : (IEnumerable<Exception>)[];
        return inner.SelectMany(Causes).Prepend(error);
    }
}
