using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace TinyMLaaS.Orchestrator.Storage.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class Timeouts : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<long>(
                name: "LimitAt",
                schema: "orchestrator",
                table: "step_attempts",
                type: "bigint",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "LimitAt",
                schema: "orchestrator",
                table: "runs",
                type: "bigint",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "QueueLimitAt",
                schema: "orchestrator",
                table: "run_steps",
                type: "bigint",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "IX_step_attempts_LimitAt",
                schema: "orchestrator",
                table: "step_attempts",
                column: "LimitAt");

            migrationBuilder.CreateIndex(
                name: "IX_runs_LimitAt",
                schema: "orchestrator",
                table: "runs",
                column: "LimitAt");

            migrationBuilder.CreateIndex(
                name: "IX_run_steps_QueueLimitAt",
                schema: "orchestrator",
                table: "run_steps",
                column: "QueueLimitAt");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_step_attempts_LimitAt",
                schema: "orchestrator",
                table: "step_attempts");

            migrationBuilder.DropIndex(
                name: "IX_runs_LimitAt",
                schema: "orchestrator",
                table: "runs");

            migrationBuilder.DropIndex(
                name: "IX_run_steps_QueueLimitAt",
                schema: "orchestrator",
                table: "run_steps");

            migrationBuilder.DropColumn(
                name: "LimitAt",
                schema: "orchestrator",
                table: "step_attempts");

            migrationBuilder.DropColumn(
                name: "LimitAt",
                schema: "orchestrator",
                table: "runs");

            migrationBuilder.DropColumn(
                name: "QueueLimitAt",
                schema: "orchestrator",
                table: "run_steps");
        }
    }
}
