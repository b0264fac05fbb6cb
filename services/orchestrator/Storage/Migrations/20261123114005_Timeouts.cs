using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace TinyMLaaS.Orchestrator.Storage.Migrations
{
    /// <inheritdoc />
    public partial class Timeouts : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<long>(
                name: "LimitAt",
                table: "step_attempts",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "LimitAt",
                table: "runs",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "QueueLimitAt",
                table: "run_steps",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "IX_step_attempts_LimitAt",
                table: "step_attempts",
                column: "LimitAt");

            migrationBuilder.CreateIndex(
                name: "IX_runs_LimitAt",
                table: "runs",
                column: "LimitAt");

            migrationBuilder.CreateIndex(
                name: "IX_run_steps_QueueLimitAt",
                table: "run_steps",
                column: "QueueLimitAt");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_step_attempts_LimitAt",
                table: "step_attempts");

            migrationBuilder.DropIndex(
                name: "IX_runs_LimitAt",
                table: "runs");

            migrationBuilder.DropIndex(
                name: "IX_run_steps_QueueLimitAt",
                table: "run_steps");

            migrationBuilder.DropColumn(
                name: "LimitAt",
                table: "step_attempts");

            migrationBuilder.DropColumn(
                name: "LimitAt",
                table: "runs");

            migrationBuilder.DropColumn(
                name: "QueueLimitAt",
                table: "run_steps");
        }
    }
}
