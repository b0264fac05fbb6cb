using System.Text;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>What a child tells its worker.</summary>
internal sealed class ChildOutput(Stream stream, TimeProvider time) : IProgress<TransformProgress>
{
    /// <summary>Fractions are told no more often; every new activity is.</summary>
    private static readonly TimeSpan FractionsEvery = TimeSpan.FromMilliseconds(50);

    private readonly Lock _gate = new();
    private string _activity = "";
    private long? _told;

    public void Report(TransformProgress value)
    {
        lock (_gate)
        {
            if (value.Activity == _activity && _told is { } told && time.GetElapsedTime(told) < FractionsEvery)
                return;
            _activity = value.Activity;
            _told = time.GetTimestamp();
            Write(new ChildMessage { Progress = new ChildProgress { Fraction = value.Fraction, Activity = value.Activity } });
        }
    }

    public void End(ChildMessage message)
    {
        lock (_gate)
            Write(message);
    }

    private void Write(ChildMessage message) => stream.Write(Encoding.UTF8.GetBytes(ChildMessage.Write(message) + "\n"));
}
