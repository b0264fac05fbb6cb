namespace TinyMLaaS.PipelineApi.Requests;

/// <summary>A service behind this one does not answer as it should; the request may be tried again.</summary>
internal sealed class ServiceUnavailableException(string service, string reason) : Exception($"The service '{service}' is unavailable: {reason}.")
{
    public string Service { get; } = service;

    public string Reason { get; } = reason;
}
