using System.Text.Json;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.EndToEnd.Tests;

public sealed class RunTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_documents_of_run_and_of_the_commands_about_runs_have_their_fields()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);
        string[] on = ["--server", server.Url, "--json"];

        var run = (await TinymlCommand.RunAsync(Cancellation, [.. Samples.Run(folder.Output), "--server", server.Url])).Expect(0).Json;

        Assert.Equal(["run", "state", "evaluation", "before", "after", "steps", "outputs", "problems"], run.EnumerateObject().Select(p => p.Name));
        Assert.Equal("succeeded", run.GetProperty("state").GetString());
        Assert.Equal("top1", run.GetProperty("evaluation").GetProperty("metric").GetString());
        Assert.InRange(run.GetProperty("evaluation").GetProperty("before").GetDouble() - run.GetProperty("evaluation").GetProperty("after").GetDouble(), -0.01, 0.01);
        foreach (var network in (string[])["before", "after"])
            Assert.All((string[])["bytes", "parameters", "macs"], field => Assert.True(run.GetProperty(network).GetProperty(field).GetInt64() > 0));
        Assert.All(run.GetProperty("steps").EnumerateArray(), step =>
        {
            Assert.Equal(["uses", "state", "seconds", "cached", "report"], step.EnumerateObject().Select(p => p.Name));
            Assert.Equal(JsonValueKind.Object, JsonElement.Parse(File.ReadAllBytes(step.GetProperty("report").GetString()!)).ValueKind);
        });
        Assert.All(run.GetProperty("outputs").EnumerateArray(), output => Assert.Equal(["path", "kind", "bytes", "digest"], output.EnumerateObject().Select(p => p.Name)));
        Assert.Empty(run.GetProperty("problems").EnumerateArray());

        var id = run.GetProperty("run").GetString()!;
        Assert.Equal(id, Assert.Single((await TinymlCommand.RunAsync(Cancellation, ["runs", .. on])).Expect(0).Json.GetProperty("items").EnumerateArray()).GetProperty("id").GetString());
        Assert.Equal("succeeded", (await TinymlCommand.RunAsync(Cancellation, ["run-status", id, .. on])).Expect(0).Json.GetProperty("state").GetString());
        var logs = (await TinymlCommand.RunAsync(Cancellation, ["logs", id, .. on])).Expect(0).Json.GetProperty("steps").EnumerateArray().Select(s => s.GetProperty("text").GetString()!).ToArray();
        Assert.Equal(["compiler/fuse", "compiler/quantize", "installer/bundle"], logs.Select(l => l.Split(' ')[1]));
        string[] plain = [.. on.Where(o => o != "--json")];
        Assert.Equal(string.Concat(logs), (await TinymlCommand.RunAsync(Cancellation, ["logs", id, "-f", .. plain])).Expect(0).Output);
        Assert.Equal(logs[1], (await TinymlCommand.RunAsync(Cancellation, ["logs", id, "--step", "2", .. plain])).Expect(0).Output);
        var none = (await TinymlCommand.RunAsync(Cancellation, ["logs", id, "--step", "4", .. on])).Expect(2).Json.GetProperty("problems")[0];
        Assert.Equal(("no-such-step", $"Run {id} has no step 4. Expected 1 to 3."), (none.GetProperty("code").GetString(), none.GetProperty("message").GetString()));
        Assert.Equal("compiler/quantize", (await TinymlCommand.RunAsync(Cancellation, ["transformers", "compiler/quantize", .. on])).Expect(0).Json.GetProperty("descriptor").GetProperty("name").GetString());
    }

    [Fact]
    public async Task An_option_that_is_set_reaches_its_step_and_one_that_does_not_exist_is_refused()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);

        var mse = (await TinymlCommand.RunAsync(Cancellation, [.. Samples.Run(folder.Output), "--server", server.Url, "--set", "2.calibration=mse"])).Expect(0);
        var wrong = (await TinymlCommand.RunAsync(Cancellation, [.. Samples.Run(folder.Output), "--server", server.Url, "--set", "compiler/quantize.calibrations=mse"])).Expect(2);

        var run = await RunWatch.UntilAsync(server.Url, _ => true, Cancellation);
        Assert.Equal(mse.Json.GetProperty("run").GetGuid(), run.Id);
        Assert.Equal("mse", run.Pipeline.Steps[1].With!.Value.GetProperty("calibration").GetString());
        Assert.Equal("/steps/1/with/calibrations", Assert.Single(wrong.Json.GetProperty("problems").EnumerateArray()).GetProperty("field").GetString());
    }

    [Fact]
    public async Task What_is_wrong_with_the_arguments_comes_at_once_with_what_is_wrong_with_the_document()
    {
        using var folder = new TemporaryFolder();
        var pipeline = folder.In("pipeline.yaml");
        await File.WriteAllTextAsync(pipeline, "steps:\n  - uses: compiler/fusion\n", Cancellation);

        var result = (await TinymlCommand.RunAsync(
            Cancellation, "run", folder.In("absent.onnx"), "--pipeline", pipeline, "--dataset", "calibration=" + folder.In("absent"), "--set", "7.a=b",
            "--out", folder.Output, "--home", folder.Home, "--json")).Expect(2);

        Assert.Equal(
            ["--dataset file-not-found", "--set unknown-step", "/steps/0/uses unknown-transformer", "MODEL file-not-found"],
            result.Json.GetProperty("problems").EnumerateArray().Select(p => $"{p.GetProperty("field").GetString()} {p.GetProperty("code").GetString()}").Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_file_that_is_no_network_fails_the_run_with_the_reason()
    {
        using var folder = new TemporaryFolder();
        var model = folder.In("text.onnx");
        await File.WriteAllTextAsync(model, "This is no network.", Cancellation);

        var result = (await TinymlCommand.RunAsync(
            Cancellation, "run", model, "--pipeline", Samples.Pipeline, "--dataset", Samples.Calibration, "--dataset", Samples.Evaluation,
            "--out", folder.Output, "--home", folder.Home, "--json")).Expect(3);

        Assert.Equal("failed", result.Json.GetProperty("state").GetString());
        var problem = result.Json.GetProperty("problems")[0];
        Assert.Contains("ONNX", problem.GetProperty("message").GetString(), StringComparison.OrdinalIgnoreCase);
        Assert.NotEqual("internal-error", problem.GetProperty("code").GetString());
    }

    [Fact]
    public async Task Interrupting_the_command_cancels_its_run()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);
        using var interrupt = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);

        var command = TinymlCommand.RunAsync(interrupt.Token, [.. Samples.Run(folder.Output), "--server", server.Url]);
        await RunWatch.UntilAsync(server.Url, run => run.State == RunStates.Running, Cancellation);
        await interrupt.CancelAsync();
        var result = (await command).Expect(3);

        Assert.Equal("cancelled", result.Json.GetProperty("state").GetString());
        Assert.Equal(RunStates.Cancelled, (await RunWatch.UntilAsync(server.Url, _ => true, Cancellation)).State);
    }

    [Fact]
    public async Task Cancel_ends_a_run_that_another_command_waits_for_and_resume_goes_on_with_it()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServeProcess.StartAsync(folder.Home, 0, Cancellation);

        var command = TinymlCommand.RunAsync(Cancellation, [.. Samples.Run(folder.Output), "--server", server.Url]);
        var run = await RunWatch.UntilAsync(server.Url, run => run.State == RunStates.Running, Cancellation);
        (await TinymlCommand.RunAsync(Cancellation, "cancel", run.Id.ToString(), "--server", server.Url, "--json")).Expect(0);

        Assert.Equal("cancelled", (await command).Expect(3).Json.GetProperty("state").GetString());
        var resumed = (await TinymlCommand.RunAsync(Cancellation, "resume", run.Id.ToString(), "--server", server.Url, "--json")).Expect(0);
        Assert.Equal(1, resumed.Json.GetProperty("resumptions").GetInt32());
        await RunWatch.UntilAsync(server.Url, r => r.State == RunStates.Succeeded, Cancellation);
        var refused = (await TinymlCommand.RunAsync(Cancellation, "resume", run.Id.ToString(), "--server", server.Url, "--json")).Expect(2);
        Assert.Equal("run-succeeded", refused.Json.GetProperty("problems")[0].GetProperty("code").GetString());
    }

    [Theory]
    [InlineData("run-status")]
    [InlineData("logs")]
    [InlineData("cancel")]
    [InlineData("resume")]
    public async Task A_run_that_does_not_exist_is_wrong_input(string command)
    {
        using var folder = new TemporaryFolder();

        var unknown = (await TinymlCommand.RunAsync(Cancellation, command, "0190163d-8694-739b-aea5-966c26f8ad91", "--home", folder.Home, "--json")).Expect(2);
        var malformed = (await TinymlCommand.RunAsync(Cancellation, command, "newest", "--home", folder.Home, "--json")).Expect(2);

        Assert.Contains("0190163d-8694-739b-aea5-966c26f8ad91", unknown.Json.GetProperty("problems")[0].GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal("bad-id", malformed.Json.GetProperty("problems")[0].GetProperty("code").GetString());
    }
}
