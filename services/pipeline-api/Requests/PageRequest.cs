using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;
using TinyMLaaS.Contracts;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Requests;

/// <summary>
/// One page of a list. The token holds the key of the last item of the page before (keyset), so a list that grows meanwhile neither skips nor repeats.
/// </summary>
internal sealed record PageRequest
{
    private const int DefaultSize = 50;
    private const int MaxSize = 200;

    private static readonly Violation BadToken = new()
    {
        Field = "page_token", Code = "invalid-page-token", Message = "page_token is not one that this list gave out. Leave it out to start again.",
    };

    public required int Size { get; init; }

    /// <summary>The key that the page starts after; null for the first page.</summary>
    public required string? After { get; init; }

    public static bool TryRead(HttpRequest request, out PageRequest page, out IResult? refusal)
    {
        var errors = new List<Violation>();
        var size = DefaultSize;
        if (request.Query["page_size"] is [{ } text]
            && (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out size) || size is < 1 or > MaxSize))
            errors.Add(new Violation { Field = "page_size", Code = "out-of-range", Message = $"page_size is '{Values.Shortened(text)}'. Expected 1 to {MaxSize}." });
        string? after = null;
        if (request.Query["page_token"] is [{ } token] && (after = Decode(token)) is null)
            errors.Add(BadToken);
        page = new PageRequest { Size = size, After = after };
        refusal = errors.Count == 0 ? null : Refuse(errors);
        return refusal is null;
    }

    /// <summary>Answers with a page; <paramref name="found"/> may hold one more than asked for, which says that there is another page.</summary>
    public IResult Answer<TRow, TResource>(HttpContext http, IReadOnlyList<TRow> found, Func<TRow, TResource> show, Func<TRow, string> key)
    {
        var next = found.Count > Size ? Base64Url.EncodeToString(Encoding.UTF8.GetBytes(key(found[Size - 1]))) : null;
        if (next is not null)
            http.Response.Headers.Link = $"<{http.Request.Path}?page_size={Size.ToString(CultureInfo.InvariantCulture)}&page_token={next}>; rel=\"next\"";
        return Results.Json(new Page<TResource> { Items = [.. found.Take(Size).Select(show)], NextPageToken = next }, ContractJson.Options);
    }

    /// <summary>The key of an item in a list that is ordered by time, newest first, then by id.</summary>
    public static string TimeKey(DateTimeOffset at, Guid id) => string.Create(CultureInfo.InvariantCulture, $"{at.UtcTicks}/{id}");

    /// <summary>Reads <see cref="After"/> as <see cref="TimeKey"/> wrote it; null for the first page. False when it is none.</summary>
    public bool TryReadTimeKey(out (DateTimeOffset At, Guid Id)? after)
    {
        after = null;
        if (After is null)
            return true;
        if (After.Split('/') is not [var ticks, var last] || !long.TryParse(ticks, NumberStyles.None, CultureInfo.InvariantCulture, out var at) || at > DateTimeOffset.MaxValue.UtcTicks || !Guid.TryParse(last, out var id))
            return false;
        after = (new DateTimeOffset(at, TimeSpan.Zero), id);
        return true;
    }

    /// <summary>The answer to a token whose key the list cannot read.</summary>
    public static IResult InvalidToken() => Refuse([BadToken]);

    private static IResult Refuse(IReadOnlyList<Violation> errors) =>
        Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", errors: errors);

    private static string? Decode(string token)
    {
        try
        {
            return token.Length is > 0 and <= 500 ? Encoding.UTF8.GetString(Base64Url.DecodeFromChars(token)) : null;
        }
        catch (FormatException)
        {
            return null;
        }
    }
}
