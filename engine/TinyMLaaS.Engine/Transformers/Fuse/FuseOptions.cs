using System.ComponentModel;

namespace TinyMLaaS.Engine.Transformers.Fuse;

/// <summary>Options of <c>compiler/fuse</c>.</summary>
public sealed record FuseOptions
{
    /// <summary>Names of nodes that stay as they are; an unnamed node goes by the name of its first output. One that matches nothing is an error.</summary>
    [Description("Names of nodes that stay as they are; an unnamed node goes by the name of its first output. A name that matches no node is an error.")]
    public IReadOnlyList<string> Exclude { get; init; } = [];
}
