using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using MassTransit;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>One leased attempt: fetch, transform, check, store, tell.</summary>
internal sealed class RunningAttempt : IDisposable
{
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PauseBetweenTries = TimeSpan.FromSeconds(1);
    private static readonly JsonWriterOptions ReportFormat = new() { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly StepOffer _offer;
    private readonly string _instance;
    private readonly ITransformer _transformer;
    private readonly ITransformPlace _place;
    private readonly WorkFolder _folders;
    private readonly IBus _bus;
    private readonly PatientStore _store;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly AttemptLog _lines;
    private readonly Heart _heart;
    private readonly CancellationTokenSource _stop = new();
    private int _reason;

    public RunningAttempt(
        StepOffer offer,
        AttemptGranted granted,
        string instance,
        ITransformer transformer,
        ITransformPlace place,
        WorkFolder folders,
        IBus bus,
        ArtifactStoreClient store,
        Loop loop,
        TimeSpan storePatience,
        TimeProvider time,
        ILogger log)
    {
        _offer = offer;
        _instance = instance;
        _transformer = transformer;
        _place = place;
        _folders = folders;
        _bus = bus;
        _time = time;
        _log = log;
        _lines = new AttemptLog(time);
        _heart = new Heart(offer, granted, instance, _lines, bus, loop, time, log, Stop);
        // An attempt must have time for its work, too.
        var most = granted.Limit is { } limit && limit / 4 < storePatience ? limit / 4 : storePatience;
        _store = new PatientStore(store, offer.Tenant, most, _heart, time);
    }

    private StopReason Reason => (StopReason)Volatile.Read(ref _reason);

    /// <summary>Ends the work. The first reason counts, except that one after which nothing may be reported overrides a cancellation.</summary>
    public void Stop(StopReason reason)
    {
        if (Interlocked.CompareExchange(ref _reason, (int)reason, (int)StopReason.None) == (int)StopReason.Cancelled && reason is StopReason.Lost or StopReason.TimedOut)
            Interlocked.Exchange(ref _reason, (int)reason);
        try
        {
            _stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It ended by itself meanwhile.
        }
    }

    public async Task RunAsync()
    {
        _lines.Write($"{_offer.Uses} {_offer.Version}, attempt {_offer.Attempt}, on {_instance}");
        using var done = new CancellationTokenSource();
        var beating = _heart.BeatAsync(done.Token);
        object? message;
        string? folder = null;
        try
        {
            folder = _folders.Create(_offer.RunId, _offer.Fence);
            message = await WorkAsync(folder);
        }
        catch (TransformRejectedException error)
        {
            // A dataset or an input is known to the user by its name, not by where this machine happens to keep it.
            var words = folder is null ? error.Message : error.Message.Replace(folder + Path.DirectorySeparatorChar, "", StringComparison.Ordinal);
            _lines.Write($"rejected: {error.Code}: {words}");
            message = Failed(new Failure { Code = error.Code, Message = words, Retryable = false });
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            _lines.Write("stopped");
            _log.LogInformation("{Uses} of run {Run} was stopped: {Reason}.", _offer.Uses, _offer.RunId, Reason);
            message = Reason == StopReason.Cancelled ? Failed(new Failure { Code = "cancelled", Message = "Stopped on request.", Retryable = false }) : null;
        }
        catch (OperationCanceledException error)
        {
            // Nobody asked for it here: something that the work waited for gave up by itself.
            _log.LogError(error, "{Uses} of run {Run} gave up without having been told to.", _offer.Uses, _offer.RunId);
            var words = $"{_offer.Uses} gave up although nobody had asked it to stop. {FailureMessage.Of(error)}";
            _lines.Write($"failed: {words}");
            message = Failed(new Failure { Code = "unasked-cancellation", Message = words, Retryable = true });
        }
        catch (AttemptFailedException error)
        {
            _log.LogError(error, "{Uses} of run {Run} failed: {Details}", _offer.Uses, _offer.RunId, error.Details);
            _lines.Write($"failed: {error.Failure.Code}: {error.Failure.Message}");
            message = Failed(error.Failure);
        }
        catch (Exception error)
        {
            _log.LogError(error, "{Uses} of run {Run} failed.", _offer.Uses, _offer.RunId);
            var words = FailureMessage.Of(error);
            _lines.Write($"failed: {words}");
            message = Failed(new Failure { Code = "worker-error", Message = words, Retryable = true });
        }
        finally
        {
            await done.CancelAsync();
            await beating;
            Remove(folder);
        }
        var (lines, from) = _lines.Rest();
        switch (message)
        {
            case CompleteAttempt complete:
                await TellAsync(complete with { Log = lines, LogFrom = from });
                break;
            case FailAttempt fail:
                await TellAsync(fail with { Log = lines, LogFrom = from });
                break;
            default:
                await _heart.SayLastWordsAsync();
                break;
        }
    }

    public void Dispose()
    {
        _stop.Dispose();
        _heart.Dispose();
    }

    private void Remove(string? folder)
    {
        try
        {
            if (folder is not null)
                Directory.Delete(folder, recursive: true);
        }
        catch (IOException error)
        {
            // The result matters more than the litter, which goes with the instance's folder.
            _log.LogWarning(error, "The folder of an attempt could not be removed.");
        }
    }

    private async Task<CompleteAttempt> WorkAsync(string folder)
    {
        var call = await AttemptFiles.FetchAsync(_offer, _transformer.Info, folder, _store, _lines, _stop.Token);
        var result = await _place.RunAsync(_transformer, call, _heart, _lines, _stop.Token);
        _stop.Token.ThrowIfCancellationRequested();
        var outputs = await StoreOutputAsync(result, call.WorkFolder);
        var reportRef = await _store.PutAsync(ArtifactKinds.Report, Canonical(result.Report), _stop.Token);
        return new CompleteAttempt
        {
            Tenant = _offer.Tenant,
            RunId = _offer.RunId,
            Step = _offer.Step,
            Attempt = _offer.Attempt,
            Fence = _offer.Fence,
            Worker = _instance,
            Outputs = outputs,
            Report = reportRef,
            Metrics = Numbers(result.Metrics),
        };
    }

    // No message can carry the others, so with one of them the end of the attempt could never be told.
    private Dictionary<string, double> Numbers(IReadOnlyDictionary<string, double> metrics)
    {
        foreach (var (name, value) in metrics.Where(m => !double.IsFinite(m.Value)).OrderBy(m => m.Key, StringComparer.Ordinal))
            _lines.Write(string.Create(CultureInfo.InvariantCulture, $"{name} is {value}, which is no number, and is left out"));
        return metrics.Where(m => double.IsFinite(m.Value)).ToDictionary(m => m.Key, m => m.Value);
    }

    private async Task<IReadOnlyList<ArtifactRef>> StoreOutputAsync(TransformResult result, string work)
    {
        if (result.OutputPath is not { } path)
        {
            if (_transformer.Info.Produces != ArtifactKinds.Report)
                throw new InvalidOperationException($"{_offer.Uses} ended without the {_transformer.Info.Produces} that it promises.");
            return [];
        }
        if (!Path.GetFullPath(path).StartsWith(Path.GetFullPath(work) + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            throw new InvalidOperationException($"{_offer.Uses} wrote its output outside of its work folder.");
        var stored = await _store.PutFileAsync(_transformer.Info.Produces, path, _stop.Token);
        _lines.Write($"output {stored.Digest}, {stored.Size} bytes");
        return [stored];
    }

    /// <summary>The same bytes for the same report, on every machine.</summary>
    private static byte[] Canonical(JsonObject report)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, ReportFormat))
            report.WriteTo(writer, ContractJson.Options);
        buffer.WriteByte((byte)'\n');
        return buffer.ToArray();
    }

    private FailAttempt Failed(Failure failure) => new()
    {
        Tenant = _offer.Tenant,
        RunId = _offer.RunId,
        Step = _offer.Step,
        Attempt = _offer.Attempt,
        Fence = _offer.Fence,
        Worker = _instance,
        Failure = failure,
    };

    /// <summary>Tells the end until it is heard. Repeating it is safe, and once the lease is over nobody waits for it.</summary>
    private async Task TellAsync<T>(T message) where T : class
    {
        while (Reason is not (StopReason.Lost or StopReason.Leaving or StopReason.TimedOut))
        {
            try
            {
                var answer = await _bus.CreateRequestClient<T>(AnswerWithin).GetResponse<AttemptCommitted, AttemptRefused>(message);
                if (answer.Is(out Response<AttemptRefused>? refused))
                    _log.LogInformation("The end of attempt {Fence} at {Uses} of run {Run} was refused: {Reason}", _offer.Fence, _offer.Uses, _offer.RunId, refused.Message.Message);
                return;
            }
            catch (RequestException error)
            {
                _log.LogWarning(error, "The end of attempt {Fence} of run {Run} was not heard.", _offer.Fence, _offer.RunId);
                if (_heart.LeaseIsOver)
                    return;
                await Task.Delay(PauseBetweenTries, _time);
            }
        }
    }
}
