using System.Globalization;

namespace TinyMLaaS.Benchmarks.Orchestration;

/// <summary>What of <c>./bench orchestration</c> is measured.</summary>
/// <param name="Parts">Of <see cref="AllParts"/>.</param>
/// <param name="Runs">Runs of a burst.</param>
/// <param name="Slots">Attempts at once, of all workers together.</param>
/// <param name="CountsStatements">True to count the database's statements too, which costs a little.</param>
internal sealed record OrchestrationOptions(IReadOnlyCollection<string> Parts, int Runs, int Slots, bool CountsStatements)
{
    /// <summary>The parts that <c>--only</c> names.</summary>
    public static readonly string[] AllParts = ["durable", "embedded"];

    private const int MostRuns = 100_000;
    private const int MostSlots = 256;

    /// <summary>Reads the arguments behind the name; null when they are wrong.</summary>
    public static OrchestrationOptions? Read(IReadOnlyList<string> arguments)
    {
        var options = new OrchestrationOptions(AllParts, Runs: 400, Slots: 16, CountsStatements: false);
        for (var i = 0; i < arguments.Count; i++)
        {
            switch (arguments[i], i + 1 < arguments.Count ? arguments[i + 1] : null)
            {
                case ("--only", { } parts) when parts.Split(',') is var asked && asked.All(AllParts.Contains):
                    options = options with { Parts = asked };
                    break;
                case ("--runs", { } text) when Number(text, MostRuns) is { } runs:
                    options = options with { Runs = runs };
                    break;
                case ("--slots", { } text) when Number(text, MostSlots) is { } slots and > 1:
                    options = options with { Slots = slots };
                    break;
                case ("--statements", _):
                    options = options with { CountsStatements = true };
                    continue;
                default:
                    return null;
            }
            i++;
        }
        return options;
    }

    private static int? Number(string text, int most) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= 1 && number <= most ? number : null;
}
