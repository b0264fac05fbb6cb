using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

#pragma warning disable CA1814 // Prefer jagged arrays over multidimensional

namespace TinyMLaaS.Orchestrator.Storage.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class EventPositions : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<long>(
                name: "Position",
                schema: "orchestrator",
                table: "run_events",
                type: "bigint",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "Tenant",
                schema: "orchestrator",
                table: "run_events",
                type: "text",
                nullable: false,
                defaultValue: "",
                collation: "C");

            migrationBuilder.Sql("""
                UPDATE orchestrator.run_events SET "Tenant" = (SELECT r."Tenant" FROM orchestrator.runs AS r WHERE r."CorrelationId" = "RunId")
                """);

            migrationBuilder.CreateTable(
                name: "event_cursors",
                schema: "orchestrator",
                columns: table => new
                {
                    Name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Position = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_event_cursors", x => x.Name);
                });

            migrationBuilder.InsertData(
                schema: "orchestrator",
                table: "event_cursors",
                columns: new[] { "Name", "Position" },
                values: new object[,]
                {
                    { "newest", 0L },
                    { "published", 0L }
                });

            migrationBuilder.CreateIndex(
                name: "IX_run_events_Position",
                schema: "orchestrator",
                table: "run_events",
                column: "Position",
                unique: true,
                filter: "\"Position\" IS NOT NULL");

            migrationBuilder.CreateIndex(
                name: "IX_run_events_Tenant_Position",
                schema: "orchestrator",
                table: "run_events",
                columns: new[] { "Tenant", "Position" },
                filter: "\"Position\" IS NOT NULL");

            migrationBuilder.CreateIndex(
                name: "IX_run_events_without_position",
                schema: "orchestrator",
                table: "run_events",
                columns: new[] { "RunId", "Sequence" },
                filter: "\"Position\" IS NULL");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "event_cursors",
                schema: "orchestrator");

            migrationBuilder.DropIndex(
                name: "IX_run_events_Position",
                schema: "orchestrator",
                table: "run_events");

            migrationBuilder.DropIndex(
                name: "IX_run_events_Tenant_Position",
                schema: "orchestrator",
                table: "run_events");

            migrationBuilder.DropIndex(
                name: "IX_run_events_without_position",
                schema: "orchestrator",
                table: "run_events");

            migrationBuilder.DropColumn(
                name: "Position",
                schema: "orchestrator",
                table: "run_events");

            migrationBuilder.DropColumn(
                name: "Tenant",
                schema: "orchestrator",
                table: "run_events");
        }
    }
}
