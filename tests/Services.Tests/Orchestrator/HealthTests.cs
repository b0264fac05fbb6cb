using System.Data.Common;
using System.Net;
using System.Net.Http.Json;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>Health tells the truth: what no longer does its work is named.</summary>
public sealed class HealthTests : IDisposable
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("orchestrator-dispatcher", "\"NotBefore\" <= ")]
    [InlineData("orchestrator-sweeper", "\"QueueLimitAt\" <= ")]
    [InlineData("orchestrator-event-positions", "\"Position\" IS NULL")]
    [InlineData("orchestrator-outbox", "\"outbox_messages\" AS \"o\"\n    WHERE")]
    public async Task A_loop_that_hangs_is_named_until_it_goes_round_again(string loop, string statement)
    {
        var database = new SlowDatabase(statement);
        await using var host = await OrchestratorHost.StartAsync(_folder.Path, services: services => services.AddSingleton<IInterceptor>(database));
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        await UntilMissingAsync(host, "ready", []);

        database.Hang();
        // Until it is in there: time that passes before would be the time of its wait.
        await OrchestratorHost.UntilAsync(() =>
        {
            host.Time.Advance(TimeSpan.FromSeconds(0.5));
            return Task.FromResult(database.Waits);
        });
        await UntilMissingAsync(host, "ready", [loop], TimeSpan.FromSeconds(1));
        Assert.Contains("it hangs or has ended", (await MissingAsync(host, "ready")).Single().Reason, StringComparison.Ordinal);
        // It had begun, and the process lives.
        Assert.Empty(await MissingAsync(host, "startup"));
        Assert.Equal(HttpStatusCode.OK, (await host.Http.GetAsync("health/live", Cancellation)).StatusCode);

        database.GoOn();
        await UntilMissingAsync(host, "ready", [], TimeSpan.FromSeconds(0.1));
    }

    [Fact]
    public async Task A_queue_that_nobody_reads_any_more_is_named_until_somebody_does()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await UntilMissingAsync(host, "ready", []);

        await host.Endpoints["v1.orchestrator.runs"].Stop(Cancellation);

        var missing = Assert.Single(await MissingAsync(host, "ready"));
        Assert.Equal("message-bus", missing.Service);
        Assert.Contains("Nothing is received on 'v1.orchestrator.runs'", missing.Reason, StringComparison.Ordinal);
        Assert.Empty(await MissingAsync(host, "startup"));

        host.Endpoints["v1.orchestrator.runs"].Start(Cancellation);
        await UntilMissingAsync(host, "ready", []);
    }

    [Fact]
    public async Task What_has_never_gone_round_has_not_started()
    {
        var database = new SlowDatabase("\"Position\" IS NULL");
        database.Hang();
        await using var host = await OrchestratorHost.StartAsync(_folder.Path, services: services => services.AddSingleton<IInterceptor>(database));

        await UntilMissingAsync(host, "startup", ["orchestrator-event-positions"]);
        Assert.Equal(("orchestrator-event-positions", "its loop has not gone round yet"), (await MissingAsync(host, "ready")).Select(m => (m.Service, m.Reason)).Single());

        database.GoOn();
        await UntilMissingAsync(host, "startup", []);
        await UntilMissingAsync(host, "ready", []);
    }

    private static Task UntilMissingAsync(OrchestratorHost host, string kind, string[] expected, TimeSpan passing = default) => OrchestratorHost.UntilAsync(async () =>
    {
        if ((await MissingAsync(host, kind)).Select(m => m.Service).SequenceEqual(expected))
            return true;
        host.Time.Advance(passing);
        return false;
    });

    private static async Task<IReadOnlyList<MissingService>> MissingAsync(OrchestratorHost host, string kind)
    {
        using var answer = await host.Http.GetAsync($"health/{kind}", Cancellation);
        var missing = (await answer.Content.ReadFromJsonAsync<Readiness>(ContractJson.Options, Cancellation))!.Missing;
        Assert.Equal(missing.Count == 0 ? HttpStatusCode.OK : HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        return missing;
    }

    /// <summary>A database that does not answer one kind of statement.</summary>
    private sealed class SlowDatabase(string statement) : DbCommandInterceptor
    {
        private volatile TaskCompletionSource? _hangs;
        private volatile bool _waits;

        public bool Waits => _waits;

        public void Hang() => _hangs = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        public void GoOn()
        {
            var hangs = _hangs;
            _hangs = null;
            hangs?.SetResult();
        }

        public override async ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
            DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken = default)
        {
            if (_hangs is { } hangs && command.CommandText.Contains(statement, StringComparison.Ordinal))
            {
                _waits = true;
                await hangs.Task.WaitAsync(cancellationToken);
            }
            return result;
        }
    }
}
