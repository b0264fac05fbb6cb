namespace TinyMLaaS.Engine.Graphs;

/// <summary>A change would have broken the graph; nothing was changed.</summary>
public sealed class GraphException(string message) : InvalidOperationException(message);
