using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;
using TinyMLaaS.Contracts;
using TinyMLaaS.Documents;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Requests;

/// <summary>A document that a client sent, read whole: at most <see cref="DocumentReader.MaximumBytes"/>, JSON or YAML.</summary>
internal sealed record RequestBody
{
    /// <summary>For the description of a route. A narrower type would make routing refuse other bodies by itself, with an answer that says nothing.</summary>
    public const string AnyType = "*/*";

    private static readonly string[] MediaTypes = ["application/json", "application/yaml", "application/x-yaml", "text/yaml"];
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>The document; null for the value null.</summary>
    public JsonNode? Document { get; private init; }

    /// <summary>sha-256 of its bytes.</summary>
    public string Fingerprint { get; private init; } = "";

    /// <summary>Why it cannot be read; null when it can.</summary>
    public IResult? Refusal { get; private init; }

    /// <summary>Reads the body of a request.</summary>
    /// <param name="request">Not yet read.</param>
    /// <param name="code">The code of the problem when the text is no document, e.g. <c>invalid-pipeline</c>.</param>
    /// <param name="title">Its title.</param>
    /// <param name="cancellation">The request's.</param>
    public static async Task<RequestBody> ReadAsync(HttpRequest request, string code, string title, CancellationToken cancellation)
    {
        if (!MediaTypeHeaderValue.TryParse(request.ContentType, out var type) || !MediaTypes.Contains(type.MediaType.Value, StringComparer.OrdinalIgnoreCase))
        {
            return Refuse(StatusCodes.Status415UnsupportedMediaType, "unsupported-media-type", "The body is of a type that is not read here",
                $"The Content-Type is '{Shortened(request.ContentType)}'. Expected one of {string.Join(", ", MediaTypes)}.");
        }
        if (request.ContentLength > DocumentReader.MaximumBytes || await ReadBoundedAsync(request.Body, cancellation) is not { } bytes)
        {
            return Refuse(StatusCodes.Status413PayloadTooLarge, "document-too-large", "The body is too large",
                $"The body is larger than {DocumentReader.MaximumBytes} bytes, the most that is read here.");
        }
        try
        {
            return new RequestBody
            {
                Document = DocumentReader.Read(StrictUtf8.GetString(bytes)),
                Fingerprint = Convert.ToHexStringLower(SHA256.HashData(bytes)),
            };
        }
        catch (DocumentException e)
        {
            return new RequestBody { Refusal = Problems.Result(StatusCodes.Status400BadRequest, code, title, errors: [new Violation { Field = "", Code = e.Code, Message = e.Message }]) };
        }
        catch (DecoderFallbackException)
        {
            return new RequestBody
            {
                Refusal = Problems.Result(StatusCodes.Status400BadRequest, code, title,
                    errors: [new Violation { Field = "", Code = "malformed-document", Message = "The text is not UTF-8." }]),
            };
        }
    }

    private static async Task<byte[]?> ReadBoundedAsync(Stream body, CancellationToken cancellation)
    {
        var buffer = new ArrayBufferWriter<byte>(4096);
        while (buffer.WrittenCount <= DocumentReader.MaximumBytes)
        {
            var read = await body.ReadAsync(buffer.GetMemory(4096), cancellation);
            if (read == 0)
                return buffer.WrittenSpan.ToArray();
            buffer.Advance(read);
        }
        return null;
    }

    private static RequestBody Refuse(int status, string code, string title, string detail) => new() { Refusal = Problems.Result(status, code, title, detail) };

    [return: NotNullIfNotNull(nameof(text))]
    private static string? Shortened(string? text) => text is null || text.Length <= 100 ? text : text[..100] + "...";
}
