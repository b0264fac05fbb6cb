using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace TinyMLaaS.Orchestrator.Storage.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class StepLogs : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<int>(
                name: "Attempt",
                schema: "orchestrator",
                table: "step_log_lines",
                type: "integer",
                nullable: false,
                defaultValue: 0);

            migrationBuilder.AddColumn<int>(
                name: "LogLines",
                schema: "orchestrator",
                table: "step_attempts",
                type: "integer",
                nullable: false,
                defaultValue: 0);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(
                name: "Attempt",
                schema: "orchestrator",
                table: "step_log_lines");

            migrationBuilder.DropColumn(
                name: "LogLines",
                schema: "orchestrator",
                table: "step_attempts");
        }
    }
}
