using MassTransit;
using MassTransit.Configuration;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.Orchestrator.Dispatching;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Simulation.Tests.Bus;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>
/// One life of the orchestrator: the product's own services, endpoints, dispatcher and sweeper, on the model's bus and clock. It keeps nothing
/// that the next life could see, except the rows.
/// </summary>
internal sealed class OrchestratorProcess : IAsyncDisposable
{
    private const string RunsQueue = "v1.orchestrator.runs";

    private readonly ServiceProvider _services;
    private readonly Action<ModelMessage> _send;
    private readonly ModelEndpoint _runs;
    private readonly ModelEndpoint _pools;
    private Death _death;
    private int _mayTell;

    public OrchestratorProcess(IReadOnlyDictionary<string, string?> settings, TimeProvider clock, Action<ModelMessage> send, IEnumerable<IInterceptor> interceptors)
    {
        _send = send;
        var module = new OrchestratorModule();
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection(settings);
        builder.Services.AddLogging();
        builder.Services.AddSingleton<Loops>();
        module.AddServices(builder);
        builder.Services.ConfigureDbContext<OrchestratorDbContext>(database => database.AddInterceptors([new DiesBeforeCommit(this), .. interceptors]));
        builder.Services.Replace(ServiceDescriptor.Singleton(clock));
        var endpoints = new Endpoints();
        builder.Services.AddMassTransit(bus =>
        {
            bus.DisableUsageTelemetry();
            module.AddConsumers(bus);
            bus.UsingInMemory((context, transport) =>
            {
                transport.ConnectEndpointConfigurationObserver(endpoints);
                module.ConfigureBus(context, transport);
            });
        });
        builder.Services.Replace(ServiceDescriptor.Singleton(_ => ModelBusPort.Bus(_runs!.Sends)));
        _services = builder.Services.BuildServiceProvider();
        // It is built, which configures its endpoints, and never started.
        _services.GetRequiredService<IBusControl>();
        _runs = new ModelEndpoint(endpoints.Seen.Single(e => e.InputAddress.AbsolutePath.EndsWith(RunsQueue, StringComparison.Ordinal)), Tell);
        _pools = new ModelEndpoint(endpoints.Seen.Single(e => e.InputAddress.AbsolutePath.Contains("v1.orchestrator.pools.", StringComparison.Ordinal)), Tell);
    }

    /// <summary>How a process dies at a message.</summary>
    public enum Death
    {
        None,
        BeforeCommit,
        BeforeTelling,
        WhileTelling,
        BeforeAcknowledging,
    }

    public bool IsDead { get; private set; }

    /// <summary>What its hosted services do before the bus runs and right after.</summary>
    public async Task StartAsync()
    {
        _mayTell = int.MaxValue;
        var sweeper = _services.GetRequiredService<Sweeper>();
        await sweeper.StartingAsync(CancellationToken.None);
        await sweeper.StartedAsync(CancellationToken.None);
    }

    /// <summary>Handles a message; false when the process died of <paramref name="death"/>, which not every message makes it do.</summary>
    public async Task<bool> DeliverAsync(ModelMessage message, Death death) =>
        // What it could not tell after the commit fails no handler: the rows are there, and the outbox would send them later.
        await LivesAsync(death, () => (message.Content is WorkerAnnounced ? _pools : _runs).DeliverAsync(message)) && death != Death.BeforeAcknowledging;

    public Task<int> SweepAsync() => _services.GetRequiredService<Sweeper>().SweepAsync(CancellationToken.None);

    /// <summary>Lets the dispatcher look; false when the process died of <paramref name="death"/>, which it does when there is something to offer.</summary>
    public Task<bool> DispatchAsync(Death death) => LivesAsync(death, () => _services.GetRequiredService<Dispatcher>().DispatchAsync(CancellationToken.None));

    public async ValueTask DisposeAsync()
    {
        IsDead = true;
        await _services.DisposeAsync();
    }

    private async Task<bool> LivesAsync(Death death, Func<Task> act)
    {
        _death = death;
        _mayTell = death switch { Death.BeforeTelling => 0, Death.WhileTelling => 1, _ => int.MaxValue };
        try
        {
            await act();
        }
        catch (Exception) when (IsDead)
        {
        }
        finally
        {
            _death = Death.None;
            _mayTell = int.MaxValue;
        }
        return !IsDead;
    }

    private void Tell(ModelMessage message)
    {
        if (IsDead || _mayTell == 0)
        {
            IsDead = true;
            throw new DiedException();
        }
        _mayTell--;
        _send(message);
    }

    private sealed class DiedException() : Exception("The process is dead.");

    private sealed class DiesBeforeCommit(OrchestratorProcess process) : DbTransactionInterceptor
    {
        public override ValueTask<InterceptionResult> TransactionCommittingAsync(
            System.Data.Common.DbTransaction transaction, TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default)
        {
            if (process.IsDead || process._death == Death.BeforeCommit)
            {
                process.IsDead = true;
                throw new DiedException();
            }
            return ValueTask.FromResult(result);
        }
    }

    private sealed class Endpoints : IEndpointConfigurationObserver
    {
        public List<IReceiveEndpointConfiguration> Seen { get; } = [];

        public void EndpointConfigured<T>(T configurator) where T : IReceiveEndpointConfigurator => Seen.Add((IReceiveEndpointConfiguration)configurator);
    }
}
