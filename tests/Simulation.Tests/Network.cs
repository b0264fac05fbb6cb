using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Simulation.Tests.Bus;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>Everything between the processes: while there are faults a message may be lost, late, overtaken or there twice.</summary>
internal sealed class Network(Simulation simulation)
{
    private static readonly string[] Telling = ["RunId", "Step", "Fence", "Sequence", "Worker", "Instance", "Verdict", "State"];

    private readonly Dictionary<Guid, Action<object?>> _answers = [];
    private readonly Dictionary<Guid, long> _newest = [];
    private int _ids;
    private long _sent;
    private int _wiped;

    private Schedule Schedule => simulation.Schedule;

    public void Publish(object message) => Send(new ModelMessage { Content = message });

    /// <summary>Sends a request; the answer, or null when none came in time.</summary>
    public void Ask(object request, TimeSpan within, Action<object?> then)
    {
        var id = NextId();
        _answers.Add(id, then);
        Schedule.After(within, () => AnswerAsync(id, null));
        Send(new ModelMessage { Content = request, Request = id });
    }

    public void Send(ModelMessage message)
    {
        message = message with { Id = message.Id ?? NextId() };
        if (simulation.Injects(Fault.MessageDropped, 0.04))
        {
            simulation.Note($"lost {Describe(message.Content)}");
            return;
        }
        var order = ++_sent;
        for (var copies = simulation.Injects(Fault.MessageRepeated, 0.06) ? 2 : 1; copies > 0; copies--)
        {
            var delay = simulation.Injects(Fault.MessageDelayed, 0.03) ? simulation.Lease * (1 + 2 * Schedule.Random.NextDouble())
                : simulation.Injects(null, 0.2) ? Schedule.Between(0.05, 4)
                : Schedule.Between(0.001, 0.03);
            var wiped = _wiped;
            Schedule.After(delay, () => wiped == _wiped ? ArriveAsync(message, order) : Task.CompletedTask);
        }
    }

    /// <summary>Loses all that is on its way.</summary>
    public void Wipe() => _wiped++;

    /// <summary>A message in a few words, the same ones in every run of a seed.</summary>
    public string Describe(object message) => message switch
    {
        AttemptCommitted m => $"AttemptCommitted {m.Fence}",
        AttemptGranted m => $"AttemptGranted {m.Fence}",
        AttemptRefused m => $"AttemptRefused {m.Code}",
        HeartbeatReply m => $"HeartbeatReply {m.Verdict}",
        _ => $"{message.GetType().Name} {string.Join(' ', Telling
            .Select(p => message.GetType().GetProperty(p)?.GetValue(message)).OfType<object>().Select(v => v is Guid run ? simulation.NameOf(run) : v))}",
    };

    private Task ArriveAsync(ModelMessage message, long order)
    {
        switch (message.Content)
        {
            case var answer when message.Destination == ModelBusPort.Answers:
                return message.Request is { } request ? AnswerAsync(request, answer) : Task.CompletedTask;
            case StepOffer offer:
                simulation.Offer(message.Destination!, offer);
                return Task.CompletedTask;
            case CancelAttempt stop:
                foreach (var worker in simulation.Workers.Where(w => w.IsUp))
                    worker.Stop(stop);
                return Task.CompletedTask;
            default:
                if (RunOf(message.Content) is { } about)
                {
                    if (_newest.GetValueOrDefault(about) > order)
                        simulation.Count(Fault.MessageOvertaken);
                    _newest[about] = Math.Max(order, _newest.GetValueOrDefault(about));
                }
                // Said again until it is handled, so it counts where it arrives.
                if (message.Content is QueueExpired)
                    simulation.Count(Fault.QueueTimedOut);
                else if (message.Content is AttemptExpired)
                    simulation.Count(Fault.AttemptTimedOut);
                else if (message.Content is RunExpired)
                    simulation.Count(Fault.RunTimedOut);
                return simulation.DeliverAsync(message);
        }
    }

    public static Guid? RunOf(object message) => (Guid?)message.GetType().GetProperty("RunId")?.GetValue(message);

    private Task AnswerAsync(Guid request, object? answer)
    {
        if (_answers.Remove(request, out var waiting))
            waiting(answer);
        return Task.CompletedTask;
    }

    private Guid NextId() => new(++_ids, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}
