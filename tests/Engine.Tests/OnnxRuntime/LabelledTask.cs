using System.Runtime.CompilerServices;
using TinyMLaaS.Engine.Datasets;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

/// <summary>A real network with labelled data, from the shared models.</summary>
internal static class LabelledTask
{
    /// <summary>The network's file.</summary>
    public static string Network(string task) => SharedModels.Find($"labelled/{task}/model.onnx");

    /// <summary>Its samples: <c>test</c>, with labels, or <c>calibrate</c>; the yaml beside this test says which.</summary>
    public static Dataset Data(string task, string part, TemporaryFolder folder, int? limit = null) => Data($"{task}.{part}", folder, limit);

    /// <summary>What one of the yaml files beside this test describes.</summary>
    public static Dataset Data(string name, TemporaryFolder folder, int? limit = null)
    {
        var yaml = File.ReadAllText(Path.Combine(Path.GetDirectoryName(Source())!, $"../tasks/{name}.yaml")).Replace("{models}", SharedModels.Find(""), StringComparison.Ordinal);
        if (limit is { } first)
            yaml = string.Concat(yaml.Split('\n').Where(l => !l.StartsWith("limit:", StringComparison.Ordinal)).Select(l => l + "\n")) + $"limit: {first}\n";
        return Dataset.Open(folder.Write($"{name}.yaml", yaml));
    }

    private static string Source([CallerFilePath] string path = "") => path;
}
