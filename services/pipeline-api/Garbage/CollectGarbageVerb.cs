using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Garbage;

/// <summary>
/// <c>collect-garbage HOURS [--dry-run]</c>: removes what nothing refers to and nobody has used for so long, once, beside the services that run. Standard output gets the report as one JSON
/// document and nothing else.
/// </summary>
internal static class CollectGarbageVerb
{
    public static ServiceVerb Verb { get; } = new("collect-garbage", "HOURS [--dry-run]", RunAsync);

    private static async Task<string> RunAsync(IServiceProvider services, IReadOnlyList<string> arguments, CancellationToken cancellation)
    {
        if (arguments is not [_] and not [_, "--dry-run"])
            throw Refuse($"collect-garbage takes {Verb.Usage}, but got '{string.Join(' ', arguments)}'.");
        if (!double.TryParse(arguments[0], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var hours) || hours is < PipelineApiOptions.LeastRetentionHours or > PipelineApiOptions.MostRetentionHours)
        {
            throw Refuse(
                $"'{arguments[0]}' is no retention. Expected hours from {PipelineApiOptions.LeastRetentionHours} to {PipelineApiOptions.MostRetentionHours}: longer than any upload waits until something refers to it.");
        }
        await using var scope = services.CreateAsyncScope();
        try
        {
            var report = await scope.ServiceProvider.GetRequiredService<GarbageCollection>().CollectAsync(TimeSpan.FromHours(hours), dryRun: arguments.Count == 2, cancellation);
            return JsonSerializer.Serialize(report, ContractJson.Options);
        }
        catch (ServiceUnavailableException error)
        {
            throw new InvalidOperationException($"Cannot collect garbage: the service '{error.Service}' is unavailable: {error.Reason}. What may be removed is not known without it.", error);
        }
    }

    private static StartRefusedException Refuse(string message) => new("wrong-arguments", message);
}
