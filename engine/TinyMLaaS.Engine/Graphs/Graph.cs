namespace TinyMLaaS.Engine.Graphs;

/// <summary>
/// Nodes in an order, values between them. Edges are object references whose two ends are kept in step here and nowhere else:
/// every change checks first and then happens whole, and what is removed must be unused.
/// </summary>
public sealed class Graph
{
    private readonly List<Value> _inputs = [];
    private readonly List<Value> _outputs = [];
    private readonly Dictionary<string, Value> _initializers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Value> _names = new(StringComparer.Ordinal);
    private readonly HashSet<Node> _nesting = [];
    private readonly Dictionary<string, int> _lastNumbers = new(StringComparer.Ordinal);
    // Every name that nested graphs gave so far; null when it must be gathered again.
    private HashSet<string>? _below;

    /// <summary>An empty graph.</summary>
    public Graph(string name = "") => Name = name;

    /// <summary>Name of the file's graph.</summary>
    public string Name { get; set; }

    /// <summary>Documentation string of the file.</summary>
    public string Doc { get; set; } = "";

    /// <summary>The file's serialized graph without what stands in the members here, kept for a round trip.</summary>
    internal ReadOnlyMemory<byte> Unmodelled { get; set; }

    /// <summary>The node whose attribute holds this graph; null for the outermost.</summary>
    public Node? Owner { get; internal set; }

    /// <summary>What a caller passes in, in order. Initializers may be among them (IR before 4).</summary>
    public IReadOnlyList<Value> Inputs => _inputs;

    /// <summary>What a caller gets, in order.</summary>
    public IReadOnlyList<Value> Outputs => _outputs;

    /// <summary>Values with a content, by name.</summary>
    public IReadOnlyCollection<Value> Initializers => _initializers.Values;

    /// <summary>Inputs that a caller must pass.</summary>
    public IEnumerable<Value> RequiredInputs => _inputs.Where(i => i.Constant is null);

    /// <summary>First node in order; null when there is none.</summary>
    public Node? First { get; private set; }

    /// <summary>Last node in order; null when there is none.</summary>
    public Node? Last { get; private set; }

    /// <summary>Number of nodes, nested graphs not counted.</summary>
    public int Count { get; private set; }

    /// <summary>Nodes in order. The node just yielded may be removed and nodes may be inserted while walking.</summary>
    public IEnumerable<Node> Nodes
    {
        get
        {
            for (var node = First; node is not null;)
            {
                var next = node.Next;
                yield return node;
                node = node.Graph is null ? next : node.Next;
            }
        }
    }

    /// <summary>The value of this name in this graph or one around it, or null.</summary>
    public Value? Find(string name)
    {
        for (var graph = this; graph is not null; graph = graph.Owner?.Graph)
        {
            if (graph._names.TryGetValue(name, out var value))
                return value;
        }
        return null;
    }

    /// <summary>A new graph input.</summary>
    /// <exception cref="GraphException">The name is taken.</exception>
    public Value AddInput(string name)
    {
        var value = NewValue(name);
        value.IsInput = true;
        _inputs.Add(value);
        return value;
    }

    /// <summary>A new constant. An existing graph input of that name gets a default content instead (IR before 4).</summary>
    /// <exception cref="GraphException">The name is taken.</exception>
    public Value AddInitializer(string name, Tensor content)
    {
        ArgumentNullException.ThrowIfNull(content);
        var value = _names.TryGetValue(name, out var existing) && existing.IsInput && existing.Constant is null ? existing : NewValue(name);
        value.Constant = content;
        value.Type = content.Type;
        value.Shape = [.. content.Shape.Select(d => (Dimension)d)];
        _initializers.Add(name, value);
        return value;
    }

    /// <summary>A new constant whose name starts with <paramref name="hint"/>.</summary>
    public Value AddConstant(string hint, Tensor content) => AddInitializer(FreeName(hint), content);

    /// <summary>A new node with a new value for each name of <paramref name="outputs"/> (null leaves an optional output out), before <paramref name="before"/> or at the end.</summary>
    /// <exception cref="GraphException">An output name is taken, or <paramref name="before"/> stands in another graph.</exception>
    public Node AddNode(string opType, IReadOnlyList<Value?> inputs, IReadOnlyList<string?> outputs, string domain = "", string name = "", Node? before = null)
    {
        if (before is not null && before.Graph != this)
            throw new GraphException($"Cannot insert {opType} before '{before.Label}': that node stands in another graph.");
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var output in outputs)
        {
            if (output is not null && (!seen.Add(output) || Find(output) is not null))
                throw new GraphException($"Cannot add {opType} '{name}': the name '{output}' of its output is taken.");
        }
        var node = new Node(this, opType, domain, name, inputs.Count, outputs.Count);
        for (var i = 0; i < inputs.Count; i++)
            node.SetInput(i, inputs[i]);
        for (var i = 0; i < outputs.Count; i++)
            node.SetOutput(i, outputs[i] is { } output ? NewValue(output) : null);
        Link(node, before);
        return node;
    }

    /// <summary>A new node with one output whose name starts with <paramref name="hint"/>; returns the output.</summary>
    public Value AddNode(string opType, IReadOnlyList<Value?> inputs, string hint, Node? before = null) =>
        AddNode(opType, inputs, [FreeName(hint)], before: before).Output;

    /// <summary>
    /// Puts a new node in the place of <paramref name="old"/>: it makes the very values that the old one made, so names, types and readers stay.
    /// It takes over name, documentation and history, and no attributes.
    /// </summary>
    /// <exception cref="GraphException">The old node is not in this graph.</exception>
    public Node Substitute(Node old, string opType, IReadOnlyList<Value?> inputs, string domain = "")
    {
        if (old.Graph != this)
            throw new GraphException($"Cannot put {opType} in the place of '{old.Label}': that node is not in this graph.");
        var node = new Node(this, opType, domain, old.Name, inputs.Count, old.Outputs.Count) { Doc = old.Doc, Provenance = old.Provenance };
        for (var i = 0; i < inputs.Count; i++)
            node.SetInput(i, inputs[i]);
        for (var i = 0; i < old.Outputs.Count; i++)
        {
            node.SetOutput(i, old.Outputs[i]);
            old.SetOutput(i, null);
        }
        Link(node, old);
        Release(old);
        Unlink(old);
        return node;
    }

    /// <summary>Removes a node whose outputs are known and makes them initializers: the values stay, with their names and readers.</summary>
    /// <exception cref="GraphException">The node is not in this graph, or the contents are not one for each output.</exception>
    public void Freeze(Node node, IReadOnlyList<Tensor> contents)
    {
        if (node.Graph != this || contents.Count != node.Outputs.Count)
            throw new GraphException($"Cannot freeze '{node.Label}': it is not in this graph, or {contents.Count} contents are not one for each of its {node.Outputs.Count} outputs.");
        for (var i = 0; i < contents.Count; i++)
        {
            if (node.Outputs[i] is not { } value)
                continue;
            node.SetOutput(i, null);
            value.Producer = null;
            value.ProducerIndex = 0;
            value.IsTypeStated = false;
            _initializers.Add(value.Name, value);
            SetContent(value, contents[i]);
        }
        Release(node);
        Unlink(node);
    }

    /// <summary>Gives an initializer another content, for all its readers.</summary>
    /// <exception cref="GraphException">It is no initializer of this graph.</exception>
    public void SetContent(Value initializer, Tensor content)
    {
        if (!_initializers.TryGetValue(initializer.Name, out var known) || !ReferenceEquals(known, initializer))
            throw new GraphException($"Cannot set the content of '{initializer.Name}': it is no initializer of this graph.");
        initializer.Constant = content;
        initializer.Type = content.Type;
        initializer.Shape = [.. content.Shape.Select(d => (Dimension)d)];
    }

    /// <summary>Appends a graph output.</summary>
    /// <exception cref="GraphException">The value is an output already.</exception>
    public void AddOutput(Value value)
    {
        if (value.Graph != this)
            throw new GraphException($"'{value.Name}' belongs to another graph: only an own value can be an output.");
        if (value.IsOutput)
            throw new GraphException($"'{value.Name}' is an output already.");
        _outputs.Add(value);
        value.IsOutput = true;
    }

    /// <summary>Why <see cref="Replace"/> would refuse, or null.</summary>
    public string? WhyNotReplace(Value old, Value replacement) =>
        !old.IsOutput || ReferenceEquals(old, replacement) ? null
        : old.Graph != this ? $"'{old.Name}' is an output of another graph"
        : replacement.Graph != this || replacement.IsInput || replacement.Constant is not null ? $"'{old.Name}' is a graph output and '{replacement.Name}' is no value of a node of this graph"
        : replacement.IsOutput ? $"'{old.Name}' and '{replacement.Name}' are both graph outputs"
        : null;

    /// <summary>
    /// Lets every reader of <paramref name="old"/> read <paramref name="replacement"/>. If <paramref name="old"/> is a graph output,
    /// <paramref name="replacement"/> becomes it and the two swap names, so that callers see no difference.
    /// </summary>
    /// <exception cref="GraphException">A graph output cannot be taken over; <see cref="WhyNotReplace"/> says why beforehand.</exception>
    public void Replace(Value old, Value replacement)
    {
        if (WhyNotReplace(old, replacement) is { } reason)
            throw new GraphException($"Cannot replace '{old.Name}' by '{replacement.Name}': {reason}.");
        if (ReferenceEquals(old, replacement))
            return;
        foreach (var use in old.Uses.ToArray())
            use.Node.SetInput(use.Index, replacement);
        if (!old.IsOutput)
            return;
        _outputs[_outputs.IndexOf(old)] = replacement;
        old.IsOutput = false;
        replacement.IsOutput = true;
        (old.Name, replacement.Name) = (replacement.Name, old.Name);
        _names[old.Name] = old;
        _names[replacement.Name] = replacement;
    }

    /// <summary>Removes a node whose outputs nobody reads, with what its nested graphs read.</summary>
    /// <exception cref="GraphException">An output is read or returned.</exception>
    public void Remove(Node node)
    {
        if (node.Graph != this)
            throw new GraphException($"Cannot remove '{node.Label}': it is not in this graph.");
        foreach (var output in node.Outputs)
        {
            if (output is { IsOutput: true })
                throw new GraphException($"Cannot remove '{node.Label}': its output '{output.Name}' is a graph output.");
            if (output is { Uses.Count: > 0 })
                throw new GraphException($"Cannot remove '{node.Label}': its output '{output.Name}' is read by '{output.Uses[0].Node.Label}'.");
        }
        Release(node);
        foreach (var output in node.Outputs)
        {
            if (output is not null)
                _names.Remove(output.Name);
        }
        Unlink(node);
    }

    /// <summary>Removes an initializer that nobody reads.</summary>
    /// <exception cref="GraphException">It is read, returned, or a graph input.</exception>
    public void RemoveInitializer(Value value)
    {
        if (value.Graph != this || value.Constant is null)
            throw new GraphException($"Cannot remove '{value.Name}': it is no initializer of this graph.");
        if (value.Uses.Count > 0 || value.IsOutput || value.IsInput)
            throw new GraphException($"Cannot remove initializer '{value.Name}': it is still in use.");
        _initializers.Remove(value.Name);
        _names.Remove(value.Name);
    }

    /// <summary>Turns an initializer that is also a graph input into a constant that callers can no longer override.</summary>
    public void SealInitializer(Value value)
    {
        if (value.Graph != this || value.Constant is null)
            throw new GraphException($"Cannot seal '{value.Name}': it is no initializer of this graph.");
        _inputs.Remove(value);
        value.IsInput = false;
    }

    /// <summary>Moves a node to stand right before another of the same graph.</summary>
    public void MoveBefore(Node node, Node before)
    {
        if (node.Graph != this || before.Graph != this)
            throw new GraphException($"Cannot move '{node.Label}': both nodes must stand in this graph.");
        if (ReferenceEquals(node, before))
            return;
        Unlink(node);
        node.Graph = this;
        NoteNesting(node);
        Link(node, before);
    }

    /// <summary>Removes nodes and initializers that no output depends on; returns how many nodes went.</summary>
    public int RemoveUnused()
    {
        var removed = 0;
        for (var node = Last; node is not null;)
        {
            var previous = node.Previous;
            if (node.Outputs.All(o => o is null || (!o.IsOutput && o.Uses.Count == 0)))
            {
                Remove(node);
                removed++;
            }
            node = previous;
        }
        foreach (var initializer in _initializers.Values.Where(v => v.Uses.Count == 0 && !v.IsOutput && !v.IsInput).ToArray())
            RemoveInitializer(initializer);
        return removed;
    }

    /// <summary><paramref name="hint"/>, or it with a number if the name is taken here or in a nested or surrounding graph.</summary>
    public string FreeName(string hint)
    {
        if (!IsTaken(hint))
            return hint;
        for (var i = _lastNumbers.GetValueOrDefault(hint) + 1; ; i++)
        {
            var name = $"{hint}_{i}";
            if (IsTaken(name))
                continue;
            _lastNumbers[hint] = i;
            return name;
        }
    }

    /// <summary>Everything that is wrong with the links, names and order; empty for a sound graph. Cost: linear in nodes and edges.</summary>
    public IReadOnlyList<string> Verify()
    {
        var problems = new List<string>();
        Verify(problems, []);
        return problems;
    }

    internal void NoteNesting(Node node)
    {
        if (!node.Subgraphs.Any())
        {
            _nesting.Remove(node);
            return;
        }
        _nesting.Add(node);
        for (var graph = this; graph is not null; graph = graph.Owner?.Graph)
            graph._below = null;
    }

    internal void ReleaseOuterUses()
    {
        foreach (var node in Nodes)
            Release(node);
    }

    private static void Release(Node node)
    {
        for (var i = 0; i < node.Inputs.Count; i++)
            node.SetInput(i, null);
        foreach (var nested in node.Subgraphs)
            nested.ReleaseOuterUses();
    }

    private void Verify(List<string> problems, HashSet<Value> defined)
    {
        var own = new List<Value>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        void Define(Value value)
        {
            if (value.Graph != this)
                problems.Add($"'{value.Name}' belongs to another graph");
            if (!names.Add(value.Name) || (Owner?.Graph?.Find(value.Name)) is not null)
                problems.Add($"the name '{value.Name}' is given twice");
            if (!_names.TryGetValue(value.Name, out var known) || !ReferenceEquals(known, value))
                problems.Add($"'{value.Name}' is not registered under its name");
            defined.Add(value);
            own.Add(value);
        }
        foreach (var value in _inputs.Concat(_initializers.Values.Where(v => !v.IsInput)))
        {
            if (value.Producer is not null)
                problems.Add($"'{value.Name}' is an input or initializer and also made by '{value.Producer.Label}'");
            Define(value);
        }
        var count = 0;
        Node? previous = null;
        foreach (var node in Nodes)
        {
            count++;
            if (node.Previous != previous || node.Graph != this)
                problems.Add($"node '{node.Label}' is not linked to its place");
            previous = node;
            for (var i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] is not { } input)
                    continue;
                if (!defined.Contains(input))
                    problems.Add($"node '{node.Label}' reads '{input.Name}' before it is made");
                if (!input.KnowsUse(new Use(node, i)))
                    problems.Add($"'{input.Name}' does not know that '{node.Label}' reads it");
            }
            foreach (var nested in node.Subgraphs)
            {
                if (nested.Owner != node)
                    problems.Add($"a nested graph of '{node.Label}' has another owner");
                nested.Verify(problems, defined);
            }
            for (var i = 0; i < node.Outputs.Count; i++)
            {
                if (node.Outputs[i] is not { } output)
                    continue;
                if (output.Producer != node || output.ProducerIndex != i)
                    problems.Add($"'{output.Name}' does not know that '{node.Label}' makes it");
                Define(output);
            }
        }
        if (count != Count)
            problems.Add($"the graph counts {Count} nodes and links {count}");
        var outputs = _outputs.ToHashSet();
        foreach (var value in own)
        {
            foreach (var use in value.Uses)
            {
                if (use.Node.Graph is null || use.Node.Input(use.Index) != value)
                    problems.Add($"'{value.Name}' remembers a reader '{use.Node.Label}' that does not read it");
            }
            if (value.IsOutput != outputs.Contains(value))
                problems.Add($"'{value.Name}' is wrong about being a graph output");
        }
        foreach (var output in _outputs)
        {
            if (!defined.Contains(output))
                problems.Add($"graph output '{output.Name}' is never made");
        }
        defined.ExceptWith(own);
    }

    private bool IsTaken(string name) => name.Length == 0 || Find(name) is not null || TakenBelow(name);

    private bool TakenBelow(string name)
    {
        if (_nesting.Count == 0)
            return false;
        if (_below is null)
        {
            _below = new HashSet<string>(StringComparer.Ordinal);
            GatherBelow(_below);
        }
        return _below.Contains(name);
    }

    private void GatherBelow(HashSet<string> names)
    {
        foreach (var nested in _nesting.SelectMany(n => n.Subgraphs))
        {
            names.UnionWith(nested._names.Keys);
            nested.GatherBelow(names);
        }
    }

    private Value NewValue(string name)
    {
        if (name.Length == 0 || Find(name) is not null)
            throw new GraphException(name.Length == 0 ? "A value needs a name." : $"The name '{name}' is taken.");
        var value = new Value(this, name);
        _names.Add(name, value);
        for (var around = Owner?.Graph; around is not null; around = around.Owner?.Graph)
            around._below?.Add(name);
        return value;
    }

    private void Link(Node node, Node? before)
    {
        node.Next = before;
        node.Previous = before is null ? Last : before.Previous;
        if (node.Previous is null)
            First = node;
        else
            node.Previous.Next = node;
        if (before is null)
            Last = node;
        else
            before.Previous = node;
        Count++;
    }

    private void Unlink(Node node)
    {
        if (node.Previous is null)
            First = node.Next;
        else
            node.Previous.Next = node.Next;
        if (node.Next is null)
            Last = node.Previous;
        else
            node.Next.Previous = node.Previous;
        node.Graph = null;
        _nesting.Remove(node);
        Count--;
    }
}
