namespace TinyMLaaS.Engine.Packaging;

/// <summary>A file, a folder or a link of an image's root.</summary>
/// <param name="Path">Path from the root, with slashes, without one in front.</param>
/// <param name="Mode">Who may do what.</param>
/// <param name="Content">What a file holds; null for a folder or a link.</param>
/// <param name="Target">Where a symbolic link points; null for a folder or a file.</param>
internal sealed record ImageEntry(string Path, UnixFileMode Mode, PackageFile? Content, string? Target)
{
    private const UnixFileMode Read = UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
    private const UnixFileMode Execute = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>A file that everybody may read.</summary>
    public static ImageEntry File(string path, PackageFile content) => new(path, Read | UnixFileMode.UserWrite, content, null);

    /// <summary>A file that everybody may run.</summary>
    public static ImageEntry Program(string path, PackageFile content) => new(path, Read | Execute | UnixFileMode.UserWrite, content, null);

    /// <summary>A folder that everybody may enter.</summary>
    public static ImageEntry Folder(string path) => new(path, Read | Execute | UnixFileMode.UserWrite, null, null);

    /// <summary>A folder that everybody may write to, with their own files safe from each other.</summary>
    public static ImageEntry SharedFolder(string path) => new(path, Read | Execute | UnixFileMode.UserWrite | UnixFileMode.GroupWrite | UnixFileMode.OtherWrite | UnixFileMode.StickyBit, null, null);

    /// <summary>A symbolic link.</summary>
    public static ImageEntry Link(string path, string target) => new(path, Read | Execute | UnixFileMode.UserWrite | UnixFileMode.GroupWrite | UnixFileMode.OtherWrite, null, target);
}
