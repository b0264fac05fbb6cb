namespace TinyMLaaS.Engine.Transformers;

/// <summary>Options with rules that tie several of them together.</summary>
public interface IValidatedOptions
{
    /// <summary>Every rule that is broken, each naming the options and what to do; empty when all hold. Called only when each option alone is right.</summary>
    IEnumerable<string> Validate();
}
