using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Integration.Tests.Containers;

/// <summary>The stack in containers, and runs on it.</summary>
public sealed class ComposeStack : IAsyncLifetime
{
    internal ComposeProject Project { get; private set; } = null!;

    internal HttpClient Http { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Project = await ComposeProject.StartAsync(Repository.Path("."));
        Http = new HttpClient { BaseAddress = new Uri(Project.Url), DefaultRequestHeaders = { Authorization = new AuthenticationHeaderValue("Bearer", Project.Key) } };
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{nameof(ComposeTests)}: {Project.Daemon.Description}; images in {Project.Built.TotalSeconds:F0} s, all healthy {Project.Healthy.TotalSeconds:F0} s after docker-compose up; {Project.Sizes}"));
    }

    public async ValueTask DisposeAsync()
    {
        Http?.Dispose();
        if (Project is not null)
            await Project.DisposeAsync();
    }

    /// <summary>Uploads the demo's network.</summary>
    internal async Task<string> UploadAsync()
    {
        using var stored = await Http.PostAsync("v1/artifacts?kind=onnx", new ByteArrayContent(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation)), Stack.Cancellation);
        stored.EnsureSuccessStatusCode();
        return (await stored.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, Stack.Cancellation))!.Digest;
    }

    /// <summary>Submits a run without the cache.</summary>
    internal async Task<Guid> SubmitAsync(string model, params string[] uses)
    {
        using var accepted = await Http.PostAsJsonAsync("v1/runs", new { model, cache = false, pipeline = new { steps = uses.Select(u => new { uses = u }) } }, Stack.Cancellation);
        var text = await accepted.Content.ReadAsStringAsync(Stack.Cancellation);
        Assert.True(accepted.IsSuccessStatusCode, text);
        return (Guid)JsonNode.Parse(text)!["id"]!;
    }

    internal async Task<RunResource> EndedAsync(Guid run)
    {
        RunResource? seen = null;
        await Stack.UntilAsync(
            async () => (seen = await GetAsync(run)) is { } now && RunStates.IsTerminal(now.State),
            async () => $"the run has not ended: {JsonSerializer.Serialize(seen, ContractJson.Options)}{await Project.LogsAsync()}");
        return seen!;
    }

    private async Task<RunResource?> GetAsync(Guid run)
    {
        try
        {
            using var answer = await Http.GetAsync($"v1/runs/{run}", Stack.Cancellation);
            return answer.IsSuccessStatusCode ? await answer.Content.ReadFromJsonAsync<RunResource>(ContractJson.Options, Stack.Cancellation) : null;
        }
        catch (HttpRequestException)
        {
            // The one who answers is being started again.
            return null;
        }
    }
}
