using System.Runtime.CompilerServices;
using TinyMLaaS.Engine.Datasets;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

/// <summary>A real network with labelled data, from the shared models.</summary>
internal static class LabelledTask
{
    /// <summary>The network's file.</summary>
    public static string Network(string task) => SharedModels.Find($"labelled/{task}/model.onnx");

    /// <summary>Its samples: <c>test</c>, with labels, or <c>calibrate</c>; the yaml beside this test says which.</summary>
    public static Dataset Data(string task, string part, TemporaryFolder folder, int? limit = null)
    {
        var models = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Network(task))!, "../.."));
        var yaml = File.ReadAllText(Path.Combine(Path.GetDirectoryName(Source())!, $"../tasks/{task}.{part}.yaml")).Replace("{models}", models, StringComparison.Ordinal);
        if (limit is { } first)
            yaml = string.Concat(yaml.Split('\n').Where(l => !l.StartsWith("limit:", StringComparison.Ordinal)).Select(l => l + "\n")) + $"limit: {first}\n";
        return Dataset.Open(folder.Write($"{task}.{part}.yaml", yaml));
    }

    private static string Source([CallerFilePath] string path = "") => path;
}
