using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
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
        builder.Services.AddOptions<InstallerOptions>().BindConfiguration(InstallerOptions.Section).ValidateOnStart();
        builder.Services.AddSingleton<IValidateOptions<InstallerOptions>, Validation>();
        _options = builder.Configuration.GetSection(InstallerOptions.Section).Get<InstallerOptions>() ?? new InstallerOptions();
        base.AddServices(builder);
    }

    /// <inheritdoc/>
    protected override IReadOnlyList<ITransformer> CreateTransformers()
    {
        var signer = _options.ReadSigner();
        return [new Bundle(signer), new Container(new ContainerParts(_options.FindModelServers(), new Dictionary<string, string>(_options.Bases, StringComparer.Ordinal)), signer)];
    }

    private sealed class Validation : IValidateOptions<InstallerOptions>
    {
        public ValidateOptionsResult Validate(string? name, InstallerOptions options) => options.Validate().ToArray() is { Length: > 0 } wrong ? ValidateOptionsResult.Fail(wrong) : ValidateOptionsResult.Success;
    }
}
