namespace TinyMLaaS.Tinyml.Demo;

/// <summary>The files that <c>demo</c> uses, found from where the program lies.</summary>
internal sealed record DemoSamples(string Folder)
{
    public string Model => Path.Combine(Folder, "fashion-cnn.onnx");

    /// <summary>The pipeline that ends in a target of <c>demo</c>.</summary>
    public string Pipeline(string target) => Path.Combine(Folder, target == DemoTargets.Container ? "container.yaml" : "compress.yaml");

    public string Calibration => Path.Combine(Folder, "fashion-mnist", "calibration.yaml");

    public string Evaluation => Path.Combine(Folder, "fashion-mnist", "evaluation.yaml");

    /// <summary>The nearest <c>samples</c> beside or above the program.</summary>
    /// <exception cref="CommandException">There is none.</exception>
    public static DemoSamples Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var samples = new DemoSamples(Path.Combine(folder.FullName, "samples"));
            if (File.Exists(samples.Model))
                return samples;
        }
        throw new CommandException(
            ExitCodes.WrongInput, "samples-not-found",
            $"The demo needs samples/fashion-cnn.onnx, and there is none in '{AppContext.BaseDirectory}' or above. Run it from a checkout of the repository.");
    }
}

/// <summary>What <c>demo</c> can make.</summary>
internal static class DemoTargets
{
    public const string Bundle = "bundle";
    public const string Container = "container";
}
