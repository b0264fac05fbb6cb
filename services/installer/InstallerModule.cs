using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Bundle;
using TinyMLaaS.Engine.Transformers.Container;
using TinyMLaaS.WorkerHost;

namespace TinyMLaaS.Installer;

/// <summary>The worker that packages networks for where they run.</summary>
public sealed class InstallerModule : WorkerModule
{
    private InstallerOptions _options = new();

    /// <inheritdoc/>
    public override string Name => "installer";

    /// <inheritdoc/>
    public override void AddServices(IHostApplicationBuilder builder)
    {
        _options = builder.Configuration.GetSection(InstallerOptions.Section).Get<InstallerOptions>() ?? new InstallerOptions();
        base.AddServices(builder);
    }

    /// <inheritdoc/>
    protected override IReadOnlyList<ITransformer> CreateTransformers()
    {
        // The worker is made when the host starts.
        if (_options.Validate().ToArray() is { Length: > 0 } wrong)
            throw new OptionsValidationException("", typeof(InstallerOptions), wrong);
        var signer = _options.ReadSigner();
        return [new Bundle(signer), new Container(new ContainerParts(_options.FindModelServers(), new Dictionary<string, string>(_options.Bases, StringComparer.Ordinal)), signer)];
    }
}
