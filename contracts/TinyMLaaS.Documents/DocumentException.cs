namespace TinyMLaaS.Documents;

/// <summary>A text is no document that can be read; nothing of it was used.</summary>
/// <param name="code">Stable, kebab-case: <c>document-too-large</c>, <c>document-too-deep</c>, <c>empty-document</c>, <c>several-documents</c>,
/// <c>duplicate-key</c>, <c>unsupported-yaml</c>, <c>number-out-of-range</c> or <c>malformed-document</c>.</param>
/// <param name="message">What is wrong and what to do, without the place.</param>
/// <param name="line">Line, counting from 1.</param>
/// <param name="column">Column, counting from 1.</param>
/// <param name="inner">What the parser said.</param>
public sealed class DocumentException(string code, string message, long line, long column, Exception? inner = null)
    : Exception($"Line {line}, column {column}: {message}", inner)
{
    /// <summary>Stable, kebab-case.</summary>
    public string Code { get; } = code;

    /// <summary>Line, counting from 1.</summary>
    public long Line { get; } = line;

    /// <summary>Column, counting from 1.</summary>
    public long Column { get; } = column;
}
