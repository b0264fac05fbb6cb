using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

#pragma warning disable CA1814 // Prefer jagged arrays over multidimensional

namespace TinyMLaaS.Orchestrator.Storage.Migrations
{
    /// <inheritdoc />
    public partial class EventPositions : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<long>(
                name: "Position",
                table: "run_events",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "Tenant",
                table: "run_events",
                type: "TEXT",
                nullable: false,
                defaultValue: "");

            migrationBuilder.Sql("""
                UPDATE run_events SET "Tenant" = (SELECT r."Tenant" FROM runs AS r WHERE r."CorrelationId" = "RunId")
                """);

            migrationBuilder.CreateTable(
                name: "event_cursors",
                columns: table => new
                {
                    Name = table.Column<string>(type: "TEXT", nullable: false),
                    Position = table.Column<long>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_event_cursors", x => x.Name);
                });

            migrationBuilder.InsertData(
                table: "event_cursors",
                columns: new[] { "Name", "Position" },
                values: new object[,]
                {
                    { "newest", 0L },
                    { "published", 0L }
                });

            migrationBuilder.CreateIndex(
                name: "IX_run_events_Position",
                table: "run_events",
                column: "Position",
                unique: true,
                filter: "\"Position\" IS NOT NULL");

            migrationBuilder.CreateIndex(
                name: "IX_run_events_Tenant_Position",
                table: "run_events",
                columns: new[] { "Tenant", "Position" },
                filter: "\"Position\" IS NOT NULL");

            migrationBuilder.CreateIndex(
                name: "IX_run_events_without_position",
                table: "run_events",
                columns: new[] { "RunId", "Sequence" },
                filter: "\"Position\" IS NULL");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "event_cursors");

            migrationBuilder.DropIndex(
                name: "IX_run_events_Position",
                table: "run_events");

            migrationBuilder.DropIndex(
                name: "IX_run_events_Tenant_Position",
                table: "run_events");

            migrationBuilder.DropIndex(
                name: "IX_run_events_without_position",
                table: "run_events");

            migrationBuilder.DropColumn(
                name: "Position",
                table: "run_events");

            migrationBuilder.DropColumn(
                name: "Tenant",
                table: "run_events");
        }
    }
}
