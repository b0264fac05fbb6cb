using System.Net.Security;
using MassTransit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>What carries the messages between the services of an installation.</summary>
public enum ServiceBus
{
    /// <summary>The process itself, where it hosts all services.</summary>
    InMemory,

    /// <summary>The broker that section <c>Bus</c> names.</summary>
    RabbitMq,

    /// <summary>The same, to declare queues on it and nothing else.</summary>
    RabbitMqTopology,
}

internal static class ServiceBusRegistration
{
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(30);

    /// <summary>Registers one bus with the consumers and endpoints of the modules.</summary>
    public static void AddServiceBus(this IServiceCollection services, IReadOnlyList<ServiceModule> modules, ServiceBus kind)
    {
        services.AddMassTransit(bus =>
        {
            bus.DisableUsageTelemetry();
            foreach (var module in modules)
                module.AddConsumers(bus);
            if (kind == ServiceBus.InMemory)
            {
                bus.UsingInMemory((context, transport) =>
                {
                    foreach (var module in modules)
                        module.ConfigureBus(context, transport);
                });
                return;
            }
            services.AddOptions<BusOptions>().BindConfiguration(BusOptions.Section).ValidateOnStart();
            services.AddSingleton<IValidateOptions<BusOptions>, BusOptionsValidation>();
            services.AddSingleton<BrokerLogin>();
            services.AddSingleton(provider => new BrokerConnections(provider.GetRequiredService<IOptions<BusOptions>>()));
            services.AddSingleton<BrokerAlarm>();
            bus.AddReceiveObserver(provider => provider.GetRequiredService<BrokerAlarm>());
            bus.AddSendObserver<NoExpiry>();
            bus.AddPublishObserver<NoExpiry>();
            bus.UsingRabbitMq((context, transport) =>
            {
                var address = BusAddress.Read(context.GetRequiredService<IOptions<BusOptions>>().Value);
                transport.OverrideDefaultBusEndpointQueueName(InstanceQueue.NameOf(modules[0].Name, InstanceQueue.Replies));
                transport.DeployTopologyOnly = kind == ServiceBus.RabbitMqTopology;
                transport.Host(address.Host, host =>
                {
                    host.Username(address.User);
                    host.Password(address.Password);
                    host.Heartbeat(TimeSpan.FromSeconds(10));
                    if (kind == ServiceBus.RabbitMq)
                        host.OnRefreshConnectionFactory = context.GetRequiredService<BrokerLogin>().PrepareAsync;
                    if (address.UsesTls)
                    {
                        host.UseSsl(tls =>
                        {
                            tls.ServerName = address.Host.Host;
                            // The transport takes a certificate of any authority unless it is told not to.
                            tls.EnforcePolicyErrors(SslPolicyErrors.RemoteCertificateChainErrors | SslPolicyErrors.RemoteCertificateNameMismatch | SslPolicyErrors.RemoteCertificateNotAvailable);
                        });
                    }
                });
                foreach (var module in modules)
                    module.ConfigureBus(context, transport);
            });
        });
        services.AddSingleton<BusStart>().AddHostedService(provider => provider.GetRequiredService<BusStart>());
        foreach (var module in modules.Where(m => m.UsesBus))
            services.AddSingleton<IReadinessCheck>(provider => new BusReadiness(
                module.Name, provider.GetRequiredService<IBusControl>(), provider.GetRequiredService<BusStart>(), provider.GetService<BrokerLogin>(), provider.GetService<BrokerAlarm>()));
        services.AddOptions<MassTransitHostOptions>().Configure(options =>
        {
            // A broker that is away at the start must not keep a service from answering that.
            options.WaitUntilStarted = kind == ServiceBus.InMemory;
            options.StopTimeout = StopLimit;
        });
    }
}
