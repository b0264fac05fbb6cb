namespace TinyMLaaS.TestWorker.NoOp;

/// <summary>There is nothing to choose.</summary>
internal sealed record NoOptions;
