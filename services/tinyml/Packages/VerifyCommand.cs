using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Engine.Packaging;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Packages;

/// <summary><c>tinyml verify</c>: whether a package is as it was made, by whom, and whether making it again gives the same bytes.</summary>
internal static class VerifyCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var package = new Argument<string>("PACKAGE") { Description = "A bundle or an image as a pipeline delivered it." };
        var key = new Option<string?>("--public-key") { Description = "PEM file with the key that must have signed it; the key of development unless given.", HelpName = "FILE" };
        var rebuild = new Option<bool>("--rebuild") { Description = "Repeats the run on the server, without its cache, and compares the bytes." };
        var command = new Command("verify", "Checks a package's seal, and on request that it can be made again.") { package, key, rebuild };
        command.SetAction((parsed, cancellation) => RunAsync(
            parsed.GetRequiredValue(package), parsed.GetValue(key), parsed.GetValue(rebuild) ? global.Server(parsed, []) : null, global.WantsJson(parsed), terminal, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(string path, string? keyFile, ServerChoice? rebuildOn, bool json, Terminal terminal, CancellationToken cancellation)
    {
        var key = keyFile is null ? PackageSigner.Development.PublicKey : ReadKey(keyFile);
        var (seal, digest) = Read(path);
        if (seal.KeyId != key.Id)
        {
            throw new CommandException(
                ExitCodes.WrongInput, "key-unknown",
                keyFile is null
                    ? $"'{path}' is signed by the key {seal.KeyId}, which is not known here. Name its public key: --public-key FILE."
                    : $"'{path}' is signed by the key {seal.KeyId}, and '{keyFile}' holds {key.Id}.");
        }
        if (!seal.IsSignedBy(key))
            throw new CommandException(ExitCodes.WrongInput, "signature-wrong", $"'{path}' was changed: the signature in its seal is not that of the key {seal.KeyId}.");
        var recipe = PackageRecipe.Read(seal.Statement)
            ?? throw new CommandException(ExitCodes.WrongInput, "not-a-package", $"'{path}' is sealed, and its seal holds no recipe that this version knows.");
        if (keyFile is null)
            terminal.Say("Signed by the key of development, which everybody has: the package is as it was made, and anybody may have made it.");
        var document = new VerifyDocument { Package = path, Digest = digest, SignedBy = seal.KeyId, Development = keyFile is null, Recipe = recipe.Describe() };
        if (rebuildOn is not null)
        {
            terminal.Say($"Repeating {recipe.Steps.Count} steps on {recipe.ModelName} ({recipe.Model}) ...");
            await using var session = await ServerSession.OpenAsync(rebuildOn, TimeProvider.System, terminal.Say, cancellation);
            document = document with { Rebuild = await PackageRebuild.RunAsync(session.Api, recipe, digest, cancellation) };
        }
        if (json)
            terminal.WriteJson(document);
        else
            Show(document, terminal);
        if (document.Rebuild is { Identical: false } rebuilt)
        {
            throw new CommandException(
                ExitCodes.RunFailed, "rebuild-differs",
                $"Made again, it is another file: {rebuilt.Digest}, expected {digest}.{string.Concat(rebuilt.Differences.Select(d => " " + d))}");
        }
        return ExitCodes.Done;
    }

    private static (SealedPackage Seal, string Digest) Read(string path)
    {
        try
        {
            using var stream = File.OpenRead(path);
            var seal = SealedPackage.Read(stream);
            stream.Position = 0;
            return (seal, "sha256:" + Convert.ToHexStringLower(SHA256.HashData(stream)));
        }
        catch (InvalidDataException error)
        {
            throw new CommandException(ExitCodes.WrongInput, error.Message.StartsWith("It is no package", StringComparison.Ordinal) ? "not-a-package" : "package-changed", $"'{path}' cannot be trusted. {error.Message}", inner: error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CommandException(ExitCodes.WrongInput, "file-not-readable", $"Cannot read '{path}': {error.Message}", inner: error);
        }
    }

    private static PackageKey ReadKey(string path)
    {
        try
        {
            return PackageKey.FromPem(File.ReadAllText(path));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or FormatException)
        {
            throw new CommandException(ExitCodes.WrongInput, "key-not-readable", $"Cannot use the public key '{path}': {error.Message}", inner: error);
        }
    }

    private static void Show(VerifyDocument document, Terminal terminal)
    {
        terminal.WriteText($"{document.Package} is as it was made.");
        terminal.WriteText($"  digest     {document.Digest}");
        terminal.WriteText($"  signed by  {document.SignedBy}{(document.Development ? " (development)" : "")}");
        terminal.WriteText($"  model      {document.Recipe["model"]!["name"]} {document.Recipe["model"]!["digest"]}");
        var number = 0;
        foreach (var step in document.Recipe["steps"]!.AsArray())
            terminal.WriteText(string.Create(CultureInfo.InvariantCulture, $"  step {++number,-5} {step!["uses"]} {step["version"]} {step["with"]?.ToJsonString()}").TrimEnd());
        if (document.Rebuild is { } rebuilt)
            terminal.WriteText(rebuilt.Identical ? $"Run {rebuilt.Run} made the same bytes again." : $"Run {rebuilt.Run} made other bytes: {rebuilt.Digest}.");
    }
}

/// <summary>The document of <c>verify --json</c>.</summary>
internal sealed record VerifyDocument
{
    public required string Package { get; init; }

    /// <summary>Of the whole file.</summary>
    public required string Digest { get; init; }

    public required string SignedBy { get; init; }

    /// <summary>True when everybody could have signed it.</summary>
    public required bool Development { get; init; }

    /// <summary>Model, steps and their options, as the seal tells.</summary>
    public required JsonObject Recipe { get; init; }

    public RebuildFigures? Rebuild { get; init; }

    public IReadOnlyList<Violation> Problems { get; init; } = [];
}

/// <summary>What making a package again gave.</summary>
internal sealed record RebuildFigures
{
    public required Guid Run { get; init; }

    public required string Digest { get; init; }

    public required bool Identical { get; init; }

    /// <summary>What is known to be otherwise than when the package was made.</summary>
    public IReadOnlyList<string> Differences { get; init; } = [];
}
