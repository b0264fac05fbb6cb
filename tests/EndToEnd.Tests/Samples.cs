using TinyMLaaS.Tinyml.Demo;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>The sample as arguments of <c>run</c>.</summary>
internal static class Samples
{
    private static readonly DemoSamples Files = DemoSamples.Find();

    public static string Model => Files.Model;

    public static string Pipeline => Files.Pipeline(DemoTargets.Bundle);

    public static string Calibration => "calibration=" + Files.Calibration;

    public static string Evaluation => "evaluation=" + Files.Evaluation;

    /// <summary>What a run of the sample's own pipeline needs.</summary>
    public static string[] Run(string output) =>
        ["run", Model, "--pipeline", Pipeline, "--dataset", Calibration, "--dataset", Evaluation, "--out", output, "--json"];
}
