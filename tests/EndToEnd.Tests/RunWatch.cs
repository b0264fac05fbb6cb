using System.Net.Http.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Watches the one run of a server over HTTP, beside the command line that made it.</summary>
internal static class RunWatch
{
    private static readonly HttpClient Http = new();
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(5);

    /// <summary>Waits until the server has a run of which <paramref name="condition"/> is true.</summary>
    public static async Task<RunResource> UntilAsync(string url, Func<RunResource, bool> condition, CancellationToken cancellation)
    {
        while (true)
        {
            var run = (await ListAsync(url, cancellation)) is [var newest, ..] ? newest : null;
            if (run is not null && condition(run))
                return run;
            await Task.Delay(Period, cancellation);
        }
    }

    public static async Task<IReadOnlyList<RunResource>> ListAsync(string url, CancellationToken cancellation) =>
        (await Http.GetFromJsonAsync<Page<RunResource>>(new Uri(new Uri(url), "v1/runs"), ContractJson.Options, cancellation))!.Items;
}
