using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Datasets;

internal static class DatasetErrors
{
    public const string Code = "invalid-dataset";

    public static TransformRejectedException Invalid(string message, Exception? inner = null) => new(Code, message, inner);
}
