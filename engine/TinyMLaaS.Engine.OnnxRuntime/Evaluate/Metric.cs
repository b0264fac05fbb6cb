namespace TinyMLaaS.Engine.OnnxRuntime.Evaluate;

/// <summary>What can be measured of a network.</summary>
public enum Metric
{
    /// <summary>Share of samples whose largest output is at the place of their label.</summary>
    Top1,
    /// <summary>Area under the ROC curve of the mean squared reconstruction error as a score for label 1 against label 0.</summary>
    AucMse,
    /// <summary>Mean squared difference of the first output and the first input.</summary>
    Mse,
    /// <summary>10 log10 of the energy of the reference's outputs over that of the difference, all outputs pooled.</summary>
    Sqnr,
    /// <summary>Share of samples whose largest output is where the reference has it.</summary>
    Agreement,
}
