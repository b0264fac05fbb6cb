using System.Net;
using MassTransit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using TinyMLaaS.PipelineApi;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Services.Tests.Hosting;

/// <summary>Nothing of ours, and nothing that we use, reports about those who use it.</summary>
public sealed class TelemetryTests
{
    [Theory]
    [InlineData(ServiceBus.InMemory)]
    [InlineData(ServiceBus.RabbitMq)]
    [InlineData(ServiceBus.RabbitMqTopology)]
    public void The_bus_does_not_report_its_usage(ServiceBus kind)
    {
        var app = ServiceHost.Build([new PipelineApiModule()], [new ServiceListener("pipeline-api", new IPEndPoint(IPAddress.Loopback, 0), null)], new Dictionary<string, string?>(), Serilog.Core.Logger.None, kind);
        using var _ = app as IDisposable;

        Assert.False(app.Services.GetRequiredService<IOptions<UsageTelemetryOptions>>().Value.Enabled);
        Assert.True(new UsageTelemetryOptions().Enabled, "The library is silent by itself: this test says nothing any more.");
    }

    [Fact]
    public void ONNX_Runtime_is_used_through_the_one_class_that_silences_it()
    {
        var users = Directory.EnumerateFiles(Repository.Path("engine"), "*.cs", SearchOption.AllDirectories).Concat(Directory.EnumerateFiles(Repository.Path("services"), "*.cs", SearchOption.AllDirectories))
            .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
            .Select(f => (Name: Path.GetFileName(f), Text: File.ReadAllText(f))).Where(f => f.Text.Contains("new InferenceSession(", StringComparison.Ordinal)).ToArray();

        var (name, text) = Assert.Single(users);
        Assert.Equal("RuntimeSession.cs", name);
        Assert.Contains("static RuntimeSession() => OrtEnv.Instance().DisableTelemetryEvents();", text, StringComparison.Ordinal);
    }
}
