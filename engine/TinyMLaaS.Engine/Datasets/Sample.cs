namespace TinyMLaaS.Engine.Datasets;

/// <summary>One sample. Valid until the next one is asked for.</summary>
/// <param name="Index">Place in the dataset, counting from 0.</param>
/// <param name="Label">Its class; null when the dataset has no labels.</param>
/// <param name="Feeds">
/// What goes into the network: one feed, or one for each window. Made as it is enumerated.
/// </param>
public sealed record Sample(int Index, long? Label, IEnumerable<Feed> Feeds);
