using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// Which run, step and attempt something is done for: every log event meanwhile carries them as <c>Run</c>, <c>Step</c> and <c>Attempt</c>, here and, by a header, in the services that are asked for something on
/// its account.
/// </summary>
public static class StepScope
{
    private static readonly AsyncLocal<string?> Account = new();

    /// <summary>Begins to do something for an attempt, a step or a run, until the result is disposed.</summary>
    /// <param name="log">Any logger of the process.</param>
    /// <param name="run">The run.</param>
    /// <param name="step">Position of the step in the run; null: not for one step.</param>
    /// <param name="attempt">The attempt at the step; null: not for one attempt.</param>
    public static IDisposable? Begin(ILogger log, Guid run, int? step = null, int? attempt = null)
    {
        Account.Value = string.Create(CultureInfo.InvariantCulture, $"{run}/{step}/{attempt}");
        var words = new Dictionary<string, object>(3) { ["Run"] = run };
        if (step is { } position)
            words["Step"] = position;
        if (attempt is { } number)
            words["Attempt"] = number;
        return log.BeginScope(words);
    }

    /// <summary>Has a request answered for what its sender says it is for, or for the run that its route names.</summary>
    internal static async Task AnswerAsync(HttpContext http, RequestDelegate next, ILogger log, bool facesClients)
    {
        using var scope = Begin(http, log, facesClients);
        await next(http);
    }

    /// <summary>Says for what a request to another service is.</summary>
    internal sealed class Handler : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (Account.Value is { } account)
                request.Headers.TryAddWithoutValidation(ServiceHeaders.Account, account);
            return base.SendAsync(request, cancellationToken);
        }
    }

    private static IDisposable? Begin(HttpContext http, ILogger log, bool facesClients)
    {
        if (!facesClients && http.Request.Headers[ServiceHeaders.Account] is [{ } account] && account.Split('/') is [var of, var step, var attempt] && Guid.TryParse(of, out var run))
            return Begin(log, run, Number(step), Number(attempt));
        return http.GetEndpoint() is RouteEndpoint { RoutePattern.RawText: { } pattern } && pattern.StartsWith("/v1/runs/{id", StringComparison.Ordinal)
            && Guid.TryParse(http.GetRouteValue("id") as string, out var named)
            ? Begin(log, named, Number(http.GetRouteValue("step") as string))
            : null;
    }

    private static int? Number(string? text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
}
