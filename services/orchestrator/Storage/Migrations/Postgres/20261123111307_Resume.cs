using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace TinyMLaaS.Orchestrator.Storage.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class Resume : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<string>(
                name: "ResumeKeys",
                schema: "orchestrator",
                table: "runs",
                type: "text",
                nullable: false,
                defaultValue: "[]");

            migrationBuilder.AddColumn<int>(
                name: "Resumptions",
                schema: "orchestrator",
                table: "runs",
                type: "integer",
                nullable: false,
                defaultValue: 0);

            migrationBuilder.AddColumn<int>(
                name: "AttemptsBefore",
                schema: "orchestrator",
                table: "run_steps",
                type: "integer",
                nullable: false,
                defaultValue: 0);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(
                name: "ResumeKeys",
                schema: "orchestrator",
                table: "runs");

            migrationBuilder.DropColumn(
                name: "Resumptions",
                schema: "orchestrator",
                table: "runs");

            migrationBuilder.DropColumn(
                name: "AttemptsBefore",
                schema: "orchestrator",
                table: "run_steps");
        }
    }
}
