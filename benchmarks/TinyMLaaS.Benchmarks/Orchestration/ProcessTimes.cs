using System.Globalization;

namespace TinyMLaaS.Benchmarks.Orchestration;

/// <summary>Processor time of groups of processes, read from <c>/proc</c>.</summary>
/// <param name="groups">Processes by the name that they are shown under; the children of each count with it, unless they are in a group themselves.</param>
internal sealed class ProcessTimes(IReadOnlyDictionary<string, int[]> groups)
{
    private const double TicksPerSecond = 100;

    private readonly Dictionary<string, double> _start = Read(groups);

    /// <summary>Seconds of each group since this was made.</summary>
    public Dictionary<string, double> Spent()
    {
        var now = Read(groups);
        return _start.ToDictionary(s => s.Key, s => now[s.Key] - s.Value);
    }

    private static Dictionary<string, double> Read(IReadOnlyDictionary<string, int[]> groups)
    {
        var processes = Directory.EnumerateDirectories("/proc").Select(Path.GetFileName)
            .Where(name => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out _))
            .Select(name => Of(int.Parse(name!, CultureInfo.InvariantCulture)))
            .OfType<(int Id, int Parent, double Seconds)>().ToList();
        var named = groups.SelectMany(g => g.Value).ToHashSet();
        return groups.ToDictionary(g => g.Key, g => processes.Where(p => g.Value.Contains(p.Id) || (g.Value.Contains(p.Parent) && !named.Contains(p.Id))).Sum(p => p.Seconds));
    }

    // With what its ended children took: a server's process for a connection may end meanwhile.
    private static (int Id, int Parent, double Seconds)? Of(int id)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{id}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (id, int.Parse(fields[1], CultureInfo.InvariantCulture), fields[11..15].Sum(f => double.Parse(f, CultureInfo.InvariantCulture)) / TicksPerSecond);
        }
        catch (IOException)
        {
            return null; // It ended.
        }
    }
}
