using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Services.Tests.Hosting;

public sealed class IdlePauseTests
{
    [Fact]
    public void Grows_while_there_is_nothing_to_do_and_is_short_again_after_work()
    {
        var pause = new IdlePause(TimeSpan.FromSeconds(2));

        Assert.Equal([2, 4, 8, 16, 16, 2, 2, 4], "busy idle idle idle idle busy busy idle".Split(' ').Select(look => pause.After(look == "busy").TotalSeconds));
    }
}
