using System.Globalization;

namespace TinyMLaaS.Integration.Tests;

/// <summary>What <c>./test full</c> does longer, or at all: TINYML_TEST_FULL=1 says so.</summary>
internal static class LongTests
{
    private const string Variable = "TINYML_TEST_FULL";
    private const string SeedVariable = "TINYML_TEST_SEED";

    /// <summary>True where the tests of many minutes are asked for.</summary>
    public static bool AreAskedFor => Environment.GetEnvironmentVariable(Variable) == "1";

    /// <summary>How long services are killed at any time.</summary>
    public static TimeSpan Kills => TimeSpan.FromMinutes(AreAskedFor ? 10 : 1);

    /// <summary>Of what happens by chance; another one is tried with TINYML_TEST_SEED.</summary>
    public static int Seed => Environment.GetEnvironmentVariable(SeedVariable) is { Length: > 0 } text ? int.Parse(text, NumberStyles.None, CultureInfo.InvariantCulture) : 2;
}
