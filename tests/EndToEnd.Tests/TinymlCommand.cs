using System.Diagnostics;
using TinyMLaaS.Tinyml;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Calls of the command line.</summary>
internal static class TinymlCommand
{
    /// <summary>In this process, where a test can listen to what happens.</summary>
    public static async Task<TinymlResult> RunAsync(CancellationToken cancellation, params string[] arguments)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        var exitCode = await Cli.RunAsync(arguments, new Terminal(output, TextWriter.Synchronized(error), outputIsTerminal: false, errorIsTerminal: false), cancellation);
        return new TinymlResult(exitCode, output.ToString(), error.ToString());
    }

    /// <summary>In a process of its own, as a user's shell does.</summary>
    public static async Task<TinymlResult> RunProcessAsync(IReadOnlyDictionary<string, string> environment, CancellationToken cancellation, params string[] arguments)
    {
        using var process = Start(environment, arguments);
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(cancellation);
            var error = process.StandardError.ReadToEndAsync(cancellation);
            await process.WaitForExitAsync(cancellation);
            return new TinymlResult(process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }

    /// <summary>Starts the command line without waiting for it.</summary>
    public static Process Start(IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        start.Environment.Remove("TINYML_SERVER");
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        start.ArgumentList.Add(typeof(Cli).Assembly.Location);
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        var process = Process.Start(start)!;
        process.StandardInput.Close();
        return process;
    }
}
