using System.ComponentModel;
using Microsoft.AspNetCore.Http;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Artifacts;

/// <summary>
/// A disk that has no room is no bug: 507 <c>storage-full</c>. Nothing that was begun has a name then, so nothing is half there; an upload in parts keeps what arrived and goes on
/// when there is room.
/// </summary>
internal static class FullDisk
{
    // What the system calls ENOSPC and EDQUOT; .NET passes them on as they are.
    private const int NoSpace = 28;
    private const int NoQuota = 122;

    public static async ValueTask<object?> AnswerAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        try
        {
            return await next(context);
        }
        catch (IOException error) when (Is(error))
        {
            context.HttpContext.Response.Headers.RetryAfter = "60";
            return Problems.Result(StatusCodes.Status507InsufficientStorage, "storage-full", "The artifact-store has no room",
                "The disk of the artifact-store is full. No artifact was stored, and what an upload in parts has taken stays. Send it again when there is room: remove what nothing refers to (collect-garbage), or give the store a larger disk.");
        }
    }

    /// <summary>Whether that is what has happened.</summary>
    public static bool Is(IOException error) => error.HResult is NoSpace or NoQuota || error.InnerException is Win32Exception { NativeErrorCode: NoSpace or NoQuota };
}
