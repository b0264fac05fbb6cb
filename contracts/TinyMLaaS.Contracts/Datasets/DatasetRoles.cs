namespace TinyMLaaS.Contracts.Datasets;

/// <summary>What a step uses a dataset for.</summary>
public static class DatasetRoles
{
    /// <summary>Activation statistics for quantization.</summary>
    public const string Calibrate = "calibrate";

    /// <summary>Training.</summary>
    public const string Train = "train";

    /// <summary>Choices made during training.</summary>
    public const string Validate = "validate";

    /// <summary>The metric that is reported; nothing is chosen by it.</summary>
    public const string Evaluate = "evaluate";

    /// <summary>Every role, in a fixed order.</summary>
    public static IReadOnlyList<string> All { get; } = [Calibrate, Train, Validate, Evaluate];
}
