namespace TinyMLaaS.WorkerHost;

/// <summary>What an output must pass before it is stored.</summary>
public interface IArtifactCheck
{
    /// <summary>The artifact kind that it looks at.</summary>
    string Kind { get; }

    /// <summary>Code of the failure of an output that does not pass, kebab-case.</summary>
    string Code { get; }

    /// <summary>Null, or why the file is not what its kind says, for people.</summary>
    string? WhyNot(string path);
}
