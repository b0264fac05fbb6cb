using Npgsql;
using TinyMLaaS.Persistence;

namespace TinyMLaaS.Services.Tests.Persistence;

public sealed class DatabaseAddressTests
{
    [Theory]
    [InlineData("/var/lib/tiny/orchestrator.db")]
    [InlineData("orchestrator.db")]
    [InlineData("/data/a=b.db")]
    public void A_path_is_a_file_of_SQLite(string text)
    {
        var address = DatabaseAddress.Parse(text);

        Assert.Equal((false, text, text), (address.IsPostgres, address.File, address.Display));
    }

    [Theory]
    [InlineData("Host=db;Database=tinymlaas;Username=me;Password=secret", "tinymlaas at db:5432")]
    [InlineData("host=db;port=6000;database=tinymlaas;password=secret", "tinymlaas at db:6000")]
    [InlineData("Server=db;Database=tinymlaas", "tinymlaas at db:5432")]
    public void A_host_is_PostgreSQL_and_its_password_is_not_shown(string text, string display)
    {
        var address = DatabaseAddress.Parse(text);

        Assert.Equal((true, null, display, display), (address.IsPostgres, address.File, address.Display, address.ToString()));
    }

    [Theory]
    [InlineData("Host=db;Database=x", 200, true)]
    [InlineData("Host=db;Database=x;Max Auto Prepare=0;No Reset On Close=false", 0, false)]
    [InlineData("Host=db;Database=x;maxautoprepare=5", 5, true)]
    public void Statements_are_prepared_and_connections_not_reset_unless_it_says_otherwise(string text, int prepared, bool keptAsTheyAre)
    {
        var connection = new NpgsqlConnectionStringBuilder(DatabaseAddress.Parse(text).ConnectionString);

        Assert.Equal((prepared, keptAsTheyAre), (connection.MaxAutoPrepare, connection.NoResetOnClose));
    }

    [Theory]
    [InlineData("", "No database is named.")]
    [InlineData("Host=db", "names no Database")]
    [InlineData("Host=;Database=x", "names no Host")]
    [InlineData("Host=db;Database=x;Colour=red;Password=secret", "cannot be read")]
    [InlineData("Host=db;Database=x;Port=many;Password=secret", "cannot be read")]
    public void What_names_no_database_is_refused_without_its_secrets(string text, string reason)
    {
        var error = Assert.Throws<FormatException>(() => DatabaseAddress.Parse(text));

        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        Assert.Contains("Expected the path of an SQLite file", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret;", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("=secret", error.Message, StringComparison.Ordinal);
    }
}
