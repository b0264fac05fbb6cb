using Microsoft.Extensions.Options;
using TinyMLaaS.Installer;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.WorkerHost;

public sealed class InstallerOptionsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Refuses_to_start_with_parts_of_packages_that_are_not_there_and_names_all()
    {
        var (none, key) = (Path.Combine(_folder.Path, "none"), Path.Combine(_folder.Path, "key"));
        await File.WriteAllTextAsync(key, "no key", TestContext.Current.CancellationToken);

        var error = await Assert.ThrowsAsync<OptionsValidationException>(() => SmallSystem.StartAsync(_folder.Path, [new InstallerModule()], settings =>
        {
            settings["Installer:ModelServers"] = none;
            settings["Installer:SigningKeyFile"] = key;
            settings["Installer:Bases:debian"] = none;
        }));

        Assert.Equal(
        [
            $"Installer:ModelServers is '{none}', which is no folder. Name the one that serving/build fills.",
            $"Installer:SigningKeyFile is '{key}': Expected a private Ed25519 key in PEM, as 'openssl genpkey -algorithm ed25519' writes it.",
            $"Installer:Bases:debian is '{none}', which is no OCI image layout: it has no file 'oci-layout'. 'skopeo copy docker://NAME oci:{none}' makes one.",
        ], error.Failures);
    }
}
