using System.Collections.Concurrent;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.Orchestrator;

namespace TinyMLaaS.Services.Tests.WorkerHost;

/// <summary>What a worker does when answers are lost, leases end and services are away.</summary>
public sealed class LoneWorkerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_result_is_told_again_until_it_is_heard()
    {
        await using var worker = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"));
        var answers = 0;
        worker.OnEnd = end => ++answers < 3 ? throw new InvalidOperationException("The answer gets lost.") : new AttemptCommitted { Fence = 1 };
        await worker.SendAsync(await worker.OfferAsync());
        await worker.UntilAsync(() => worker.Ends.Count == 3);

        var told = new List<CompleteAttempt>();
        while (worker.Ends.TryRead(out var end))
            told.Add(Assert.IsType<CompleteAttempt>(end));
        Assert.All(told, t => Assert.Equal((Runs.Artifact("net+f", ArtifactKinds.Onnx), told[0].Log.Count), (t.Outputs.Single(), t.Log.Count)));
    }

    [Fact]
    public async Task A_result_that_nobody_hears_is_given_up_when_the_lease_is_over()
    {
        await using var worker = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"));
        worker.OnEnd = end => ((CompleteAttempt)end).Fence == 1 ? throw new InvalidOperationException("The answer gets lost.") : new AttemptCommitted { Fence = 2 };
        await worker.SendAsync(await worker.OfferAsync(fence: 1));
        Assert.Equal(1, Assert.IsType<CompleteAttempt>(await worker.EndAsync()).Fence);
        worker.Time.Advance(LoneWorker.Lease + TimeSpan.FromSeconds(1));

        // There is one slot: whoever waits for it gets it when the first attempt is given up.
        await worker.SendAsync(await worker.OfferAsync(fence: 2) with { ExpiresAt = worker.Time.GetUtcNow() + TimeSpan.FromHours(1) });
        CompleteAttempt? next = null;
        await worker.UntilAsync(() => worker.Ends.TryRead(out var end) && (next = (CompleteAttempt)end).Fence == 2);
        Assert.Equal(Runs.Artifact("net+f", ArtifactKinds.Onnx), next!.Outputs.Single());
    }

    [Fact]
    public async Task A_claim_whose_answer_is_lost_is_made_again()
    {
        await using var worker = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"));
        var claims = new ConcurrentQueue<ClaimAttempt>();
        worker.OnClaim = claim =>
        {
            claims.Enqueue(claim);
            return claims.Count == 1 ? throw new InvalidOperationException("The answer gets lost.") : LoneWorker.Granted(claim);
        };
        await worker.SendAsync(await worker.OfferAsync());

        Assert.IsType<CompleteAttempt>(await worker.EndAsync());
        Assert.Equal(2, claims.Count);
        Assert.Single(claims.Distinct());
    }

    [Fact]
    public async Task A_refused_claim_gives_the_slot_back()
    {
        await using var worker = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"));
        worker.OnClaim = claim => claim.Fence == 1 ? new AttemptRefused { Code = "stale-fence", Message = "Too late." } : LoneWorker.Granted(claim);
        await worker.SendAsync(await worker.OfferAsync(fence: 1));
        await worker.SendAsync(await worker.OfferAsync(fence: 2));

        Assert.Equal(2, Assert.IsType<CompleteAttempt>(await worker.EndAsync()).Fence);
    }

    [Fact]
    public async Task An_offer_that_has_run_out_or_is_of_another_version_is_left_to_others()
    {
        await using var worker = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"));
        var claimed = new ConcurrentQueue<long>();
        worker.OnClaim = claim =>
        {
            claimed.Enqueue(claim.Fence);
            return LoneWorker.Granted(claim);
        };
        var offer = await worker.OfferAsync();
        await worker.SendAsync(offer with { Fence = 1, ExpiresAt = worker.Time.GetUtcNow() });
        await worker.SendAsync(offer with { Fence = 2, Version = "2" });
        await worker.SendAsync(offer with { Fence = 3 });

        Assert.Equal(3, Assert.IsType<CompleteAttempt>(await worker.EndAsync()).Fence);
        Assert.Equal([3L], claimed);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public async Task An_offer_is_claimed_whatever_the_clock_of_the_worker_says(int hours)
    {
        await using var worker = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"));
        var offer = await worker.OfferAsync();

        await worker.SendAsync(offer with { ExpiresAt = offer.ExpiresAt + TimeSpan.FromHours(hours), ClaimWithin = TimeSpan.FromSeconds(5) });

        Assert.IsType<CompleteAttempt>(await worker.EndAsync());
    }

    [Fact]
    public async Task Work_that_gives_up_by_itself_is_no_cancellation()
    {
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (_, _, _) => throw new TaskCanceledException("The download took too long.")));
        await worker.SendAsync(await worker.OfferAsync());

        var failed = Assert.IsType<FailAttempt>(await worker.EndAsync());

        Assert.Equal(("unasked-cancellation", true), (failed.Failure.Code, failed.Failure.Retryable));
        Assert.Equal("compiler/fuse gave up although nobody had asked it to stop. TaskCanceledException: The download took too long.", failed.Failure.Message);
    }

    [Theory]
    [InlineData(null, true)]
    [InlineData(StopReasons.Cancelled, true)]
    [InlineData(StopReasons.Timeout, false)]
    public async Task An_attempt_that_was_stopped_says_so_unless_its_time_was_over(string? reason, bool says)
    {
        using var begun = new SemaphoreSlim(0);
        await using var worker = await StartAsync(WaitsOnce(begun));
        var offer = await worker.OfferAsync();
        await worker.SendAsync(offer);
        await worker.UntilAsync(() => begun.CurrentCount > 0);
        await worker.Bus.Publish(new CancelAttempt { Tenant = offer.Tenant, RunId = offer.RunId, Step = 1, Attempt = 1, Fence = offer.Fence, Reason = reason }, TestContext.Current.CancellationToken);

        // There is one slot: the next attempt has it once the first is over.
        await worker.SendAsync(offer with { Fence = 2, ExpiresAt = worker.Time.GetUtcNow() + TimeSpan.FromHours(1) });
        var ends = new List<object> { await worker.EndAsync() };
        if (says)
            ends.Add(await worker.EndAsync());

        Assert.Equal(says ? ["cancelled"] : [], ends.OfType<FailAttempt>().Select(f => f.Failure.Code));
        Assert.Equal(2, ends.OfType<CompleteAttempt>().Single().Fence);
    }

    [Theory]
    [InlineData(HeartbeatVerdicts.Cancel, true)]
    [InlineData(HeartbeatVerdicts.Lost, false)]
    public async Task The_answer_to_a_heartbeat_stops_the_work_where_no_order_came(string verdict, bool says)
    {
        using var begun = new SemaphoreSlim(0);
        await using var worker = await StartAsync(WaitsOnce(begun));
        worker.OnBeat = beat => beat.Fence == 1 ? verdict : HeartbeatVerdicts.Continue;
        var offer = await worker.OfferAsync();
        await worker.SendAsync(offer);
        await worker.UntilAsync(() => begun.CurrentCount > 0);

        await worker.SendAsync(offer with { Fence = 2, ClaimWithin = TimeSpan.FromHours(1) });
        var ends = new List<object>();
        await worker.UntilAsync(() =>
        {
            while (worker.Ends.TryRead(out var end))
                ends.Add(end);
            return ends.OfType<CompleteAttempt>().Any();
        });

        Assert.Equal(says ? ["cancelled"] : [], ends.OfType<FailAttempt>().Select(f => f.Failure.Code));
    }

    [Fact]
    public async Task A_worker_that_is_waited_for_goes_on_when_its_lease_is_over_and_tells_the_end_until_it_is_heard()
    {
        await using var worker = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"));
        worker.OnClaim = claim => LoneWorker.Granted(claim) with { Waits = true, Limit = TimeSpan.FromMinutes(10) };
        var heard = false;
        worker.OnEnd = _ => heard ? new AttemptCommitted { Fence = 1 } : throw new InvalidOperationException("The answer gets lost.");
        await worker.SendAsync(await worker.OfferAsync());
        await worker.EndAsync();
        var over = worker.Time.GetUtcNow() + 2 * LoneWorker.Lease;
        await worker.UntilAsync(() => worker.Time.GetUtcNow() > over);
        while (worker.Ends.TryRead(out _))
        {
        }
        heard = true;

        // Still the same one: without the wait it would have been given up.
        await worker.UntilAsync(() => worker.Ends.TryPeek(out _));
        Assert.Equal(1, Assert.IsType<CompleteAttempt>(await worker.EndAsync()).Fence);
    }

    [Fact]
    public async Task Lines_of_a_heartbeat_that_was_not_heard_come_later_in_their_order()
    {
        using var goOn = new SemaphoreSlim(0);
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (request, progress, cancellation) =>
        {
            progress.Report(new TransformProgress(0.1, "first"));
            goOn.Wait(cancellation);
            progress.Report(new TransformProgress(0.2, "second"));
            return Copy(request);
        }));
        var unheard = 0;
        worker.OnBeat = beat =>
        {
            Interlocked.Increment(ref unheard);
            throw new InvalidOperationException("The beat gets lost.");
        };
        await worker.SendAsync(await worker.OfferAsync());
        await worker.UntilAsync(() => Volatile.Read(ref unheard) > 0);
        goOn.Release();

        var lines = Assert.IsType<CompleteAttempt>(await worker.EndAsync()).Log.Select(l => l[(l.IndexOf(' ', StringComparison.Ordinal) + 1)..]).ToArray();
        Assert.StartsWith("compiler/fuse 1, attempt 1, on compiler-", lines[0], StringComparison.Ordinal);
        Assert.StartsWith("input sha256:", lines[1], StringComparison.Ordinal);
        Assert.Equal(["first", "second"], lines[2..4]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_attempt_that_lost_its_lease_stops_and_tells_nothing(bool told)
    {
        var stopped = 0;
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (request, _, cancellation) =>
        {
            if (File.ReadAllText(request.InputPath) != "net" || request.Seed == 2)
                return Copy(request);
            cancellation.WaitHandle.WaitOne();
            Interlocked.Increment(ref stopped);
            throw new OperationCanceledException(cancellation);
        }));
        // Either the orchestrator says so, or it is not heard of for as long as the lease lasts.
        worker.OnBeat = _ => told ? HeartbeatVerdicts.Lost : throw new InvalidOperationException("The beat gets lost.");
        await worker.SendAsync(await worker.OfferAsync(fence: 1));
        await worker.UntilAsync(() => Volatile.Read(ref stopped) == 1);

        await worker.SendAsync(await worker.OfferAsync(fence: 2) with { Seed = 2, ExpiresAt = worker.Time.GetUtcNow() + TimeSpan.FromHours(1) });
        Assert.Equal(2, Assert.IsType<CompleteAttempt>(await worker.EndAsync()).Fence);
    }

    [Fact]
    public async Task A_store_that_is_away_is_waited_for_and_the_attempt_goes_on_when_it_is_back()
    {
        await using var worker = await LoneWorker.StartAsync(_folder.Path, TestTransformer.Append("compiler/fuse", "+f"), withStore: false);
        var waiting = 0;
        var lines = new ConcurrentQueue<string>();
        worker.OnBeat = beat =>
        {
            foreach (var line in beat.Log)
                lines.Enqueue(line);
            if (beat.Activity?.StartsWith("waiting for the artifact-store", StringComparison.Ordinal) == true)
                Interlocked.Increment(ref waiting);
            return HeartbeatVerdicts.Continue;
        };
        await worker.SendAsync(await worker.OfferAsync());
        // Heartbeats go on meanwhile.
        await worker.UntilAsync(() => Volatile.Read(ref waiting) >= 2);
        worker.BringStore();
        await worker.UntilAsync(() => worker.Ends.Count > 0);

        var done = Assert.IsType<CompleteAttempt>(await worker.EndAsync());
        Assert.Equal(Runs.Artifact("net+f", ArtifactKinds.Onnx), done.Outputs.Single());
        Assert.Contains(lines.Concat(done.Log), l => l.EndsWith("the artifact-store answers again", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(null, "as long as 120 s")]
    [InlineData(8, "as long as 2 s")]
    public async Task A_store_that_stays_away_ends_the_attempt_before_its_time_is_over(int? limit, string waited)
    {
        await using var worker = await LoneWorker.StartAsync(_folder.Path, TestTransformer.Append("compiler/fuse", "+f"), withStore: false);
        worker.OnClaim = claim => LoneWorker.Granted(claim) with { Limit = limit is { } seconds ? TimeSpan.FromSeconds(seconds) : null };
        await worker.SendAsync(await worker.OfferAsync());
        await worker.UntilAsync(() => worker.Ends.Count > 0);

        var failed = Assert.IsType<FailAttempt>(await worker.EndAsync()).Failure;
        Assert.Equal(("artifact-store-unreachable", true), (failed.Code, failed.Retryable));
        Assert.Contains(waited, failed.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(_folder.Path, failed.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_cancellation_does_not_wait_for_the_store()
    {
        await using var worker = await LoneWorker.StartAsync(_folder.Path, TestTransformer.Append("compiler/fuse", "+f"), withStore: false);
        worker.OnBeat = _ => HeartbeatVerdicts.Cancel;
        // The clock stands still: nothing here waits for its time.
        await worker.SendAsync(await worker.OfferAsync());

        Assert.Equal("cancelled", Assert.IsType<FailAttempt>(await worker.EndAsync()).Failure.Code);
    }

    [Fact]
    public async Task An_input_that_the_store_does_not_have_is_named()
    {
        await using var worker = await StartAsync(TestTransformer.Append("compiler/fuse", "+f"));
        var offer = await worker.OfferAsync(stored: false);
        await worker.SendAsync(offer);

        var failed = Assert.IsType<FailAttempt>(await worker.EndAsync()).Failure;
        Assert.Equal(("worker-error", true), (failed.Code, failed.Retryable));
        Assert.Contains(offer.Input.Digest, failed.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rejection_names_files_as_the_user_knows_them()
    {
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (request, _, _) =>
            throw new TransformRejectedException("unreadable", $"Cannot read '{request.InputPath}' into '{Path.Combine(request.WorkFolder, "output.onnx")}'.")));
        await worker.SendAsync(await worker.OfferAsync());

        var failed = Assert.IsType<FailAttempt>(await worker.EndAsync());
        Assert.Equal(new Failure { Code = "unreadable", Message = "Cannot read 'input.onnx' into 'work/output.onnx'.", Retryable = false }, failed.Failure);
        Assert.All(failed.Log, line => Assert.DoesNotContain(_folder.Path, line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_output_outside_of_the_work_folder_is_not_stored()
    {
        var secret = _folder["secret"];
        await File.WriteAllTextAsync(secret, "secret", TestContext.Current.CancellationToken);
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (request, _, _) => new TransformResult
        {
            OutputPath = Path.Combine(request.WorkFolder, Path.GetRelativePath(request.WorkFolder, secret)), Report = [],
        }));
        await worker.SendAsync(await worker.OfferAsync());

        var failed = Assert.IsType<FailAttempt>(await worker.EndAsync()).Failure;
        Assert.Equal("InvalidOperationException: compiler/fuse wrote its output outside of its work folder.", failed.Message);
        Assert.Null(await worker.Store.HeadAsync(Tenants.Default, Runs.Artifact("secret", ArtifactKinds.Onnx).Digest, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_metric_that_is_no_number_is_left_out_and_named_in_the_log()
    {
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (request, _, _) => Copy(request) with
        {
            Metrics = new Dictionary<string, double> { ["good"] = 1, ["bad"] = double.NaN },
        }));
        await worker.SendAsync(await worker.OfferAsync());

        var complete = Assert.IsType<CompleteAttempt>(await worker.EndAsync());
        Assert.Equal(new Dictionary<string, double> { ["good"] = 1 }, complete.Metrics);
        Assert.EndsWith(" bad is NaN, which is no number, and is left out", complete.Log[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Progress_that_is_no_number_is_told_as_the_last_that_was_one()
    {
        using var goOn = new SemaphoreSlim(0);
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (request, progress, cancellation) =>
        {
            progress.Report(new TransformProgress(0.5, "half"));
            progress.Report(new TransformProgress(double.NaN, "nothing of nothing"));
            goOn.Wait(cancellation);
            return Copy(request);
        }));
        var told = new ConcurrentQueue<(double, string?)>();
        worker.OnBeat = beat =>
        {
            told.Enqueue((beat.Progress, beat.Activity));
            return HeartbeatVerdicts.Continue;
        };
        await worker.SendAsync(await worker.OfferAsync());
        await worker.UntilAsync(() => told.Contains((0.5, "nothing of nothing")));
        goOn.Release();

        Assert.IsType<CompleteAttempt>(await worker.EndAsync());
    }

    [Fact]
    public async Task The_log_of_an_attempt_is_bounded_and_says_so()
    {
        var line = new string('x', 1000);
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (request, progress, _) =>
        {
            for (var i = 0; i < 200; i++)
                progress.Report(new TransformProgress(i / 200.0, line + i));
            return Copy(request);
        }));
        var told = new ConcurrentQueue<string>();
        worker.OnBeat = beat =>
        {
            foreach (var text in beat.Log)
                told.Enqueue(text);
            return HeartbeatVerdicts.Continue;
        };
        await worker.SendAsync(await worker.OfferAsync());

        string[] all = [.. told, .. Assert.IsType<CompleteAttempt>(await worker.EndAsync()).Log];
        Assert.Equal("The log ends here: an attempt writes at most 64 KiB.", all[^1]);
        Assert.InRange(all.Sum(l => l.Length + 1), 63 * 1024, 65 * 1024);
    }

    [Fact]
    public async Task Lines_are_told_soon_in_chunks_without_gap_or_repeat_whatever_gets_lost_on_the_way()
    {
        using var goOn = new SemaphoreSlim(0);
        var line = new string('x', 1000);
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (request, progress, cancellation) =>
        {
            for (var i = 0; i < 40; i++)
                progress.Report(new TransformProgress(0.5, $"{line} {i}"));
            goOn.Wait(cancellation);
            progress.Report(new TransformProgress(0.5, "the last"));
            return Copy(request);
        }));
        var (told, beats) = (new ConcurrentDictionary<int, string>(), 0);
        void Take(IReadOnlyList<string> lines, int? from)
        {
            for (var i = 0; i < lines.Count; i++)
                Assert.Equal(lines[i], told.GetOrAdd(from!.Value + i, lines[i]));
        }
        worker.OnBeat = beat =>
        {
            Take(beat.Log, beat.LogFrom);
            Assert.InRange(beat.Log.Sum(l => l.Length + 1), 0, 16 * 1024);
            // Taken in, and every other answer gets lost.
            return Interlocked.Increment(ref beats) % 2 == 0 ? HeartbeatVerdicts.Continue : throw new InvalidOperationException("The answer gets lost.");
        };
        await worker.SendAsync(await worker.OfferAsync());
        await worker.UntilAsync(() => told.Count >= 42);
        goOn.Release();

        var done = Assert.IsType<CompleteAttempt>(await worker.EndAsync());
        Take(done.Log, done.LogFrom);
        Assert.Equal(Enumerable.Range(0, told.Count), told.Keys.Order());
        Assert.Equal([.. Enumerable.Range(0, 40).Select(i => $"{line} {i}"), "the last"], told.OrderBy(l => l.Key).Select(l => l.Value[(l.Value.IndexOf(' ', StringComparison.Ordinal) + 1)..]).Where(l => l[0] == 'x' || l == "the last"));
    }

    [Fact]
    public async Task An_attempt_that_is_not_to_be_reported_leaves_its_last_lines()
    {
        await using var worker = await StartAsync(new TestTransformer("compiler/fuse", (_, progress, cancellation) =>
        {
            cancellation.WaitHandle.WaitOne();
            progress.Report(new TransformProgress(0.9, "last words"));
            throw new OperationCanceledException(cancellation);
        }));
        var told = new ConcurrentQueue<string>();
        worker.OnBeat = beat =>
        {
            foreach (var text in beat.Log)
                told.Enqueue(text);
            return HeartbeatVerdicts.Lost;
        };
        await worker.SendAsync(await worker.OfferAsync());

        await worker.UntilAsync(() => told.Any(l => l.EndsWith(" stopped", StringComparison.Ordinal)));
        Assert.Contains(told, l => l.EndsWith(" last words", StringComparison.Ordinal));
    }

    private Task<LoneWorker> StartAsync(ITransformer transformer) => LoneWorker.StartAsync(_folder.Path, transformer);

    /// <summary>Says that it has begun and waits to be stopped, the first time; then it does its work.</summary>
    private static TestTransformer WaitsOnce(SemaphoreSlim begun) => new("compiler/fuse", (request, _, cancellation) =>
    {
        if (begun.CurrentCount > 0)
            return Copy(request);
        begun.Release();
        cancellation.WaitHandle.WaitOne();
        throw new OperationCanceledException(cancellation);
    });

    private static TransformResult Copy(TransformRequest request)
    {
        var output = Path.Combine(request.WorkFolder, "output.onnx");
        File.Copy(request.InputPath, output);
        return new TransformResult { OutputPath = output, Report = [] };
    }
}
