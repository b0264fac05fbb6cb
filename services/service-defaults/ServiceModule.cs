using MassTransit;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// One service as something a process is made of. A process of its own hosts one module, standalone hosts them all: what a service
/// registers, consumes and serves is the same in both.
/// </summary>
public abstract class ServiceModule
{
    /// <summary>Folder, image, queue prefix and telemetry name, e.g. <c>artifact-store</c>.</summary>
    public abstract string Name { get; }

    /// <summary>False for a service that neither sends nor takes messages.</summary>
    public virtual bool UsesBus => true;

    /// <summary>True for the service that clients talk to: its routes state who may use them. The routes of all others are for services alone.</summary>
    public virtual bool FacesClients => false;

    /// <summary>What its program does besides serving and <c>migrate</c>.</summary>
    public virtual IReadOnlyList<ServiceVerb> Verbs => [];

    /// <summary>Registers services, options (validated at start) and hosted services.</summary>
    public abstract void AddServices(IHostApplicationBuilder builder);

    /// <summary>Registers consumers, sagas and request clients.</summary>
    public virtual void AddConsumers(IBusRegistrationConfigurator bus)
    {
    }

    /// <summary>Declares the receive endpoints of what <see cref="AddConsumers"/> registered.</summary>
    public virtual void ConfigureBus(IBusRegistrationContext context, IBusFactoryConfigurator bus)
    {
    }

    /// <summary>Maps the service's HTTP routes; health is mapped for every service.</summary>
    public virtual void MapEndpoints(IEndpointRouteBuilder routes)
    {
    }
}
