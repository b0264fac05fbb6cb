using System.Text.Json;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.TestWorker;

/// <summary>Pieces of work for a child that no run asked for.</summary>
internal static class Calls
{
    /// <param name="uses">The transformer.</param>
    /// <param name="input">A network.</param>
    /// <param name="work">The folder to work in, which is made.</param>
    /// <param name="with">The options, as an object of that shape.</param>
    /// <param name="datasets">Folders by role.</param>
    public static TransformCall Of(string uses, string input, string work, object? with = null, IReadOnlyDictionary<string, string>? datasets = null) => new()
    {
        Uses = uses,
        InputPath = input,
        InputKind = "onnx",
        With = with is null ? null : JsonSerializer.SerializeToElement(with),
        Datasets = datasets ?? new Dictionary<string, string>(),
        Seed = 1,
        ModelName = "model",
        Recipe = [],
        ReportPaths = [],
        WorkFolder = Directory.CreateDirectory(work).FullName,
    };
}
