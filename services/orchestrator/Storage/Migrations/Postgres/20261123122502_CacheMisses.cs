using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace TinyMLaaS.Orchestrator.Storage.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class CacheMisses : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<string>(
                name: "Parts",
                schema: "orchestrator",
                table: "step_cache",
                type: "text",
                nullable: false,
                defaultValue: "null");

            migrationBuilder.AddColumn<string>(
                name: "Uses",
                schema: "orchestrator",
                table: "step_cache",
                type: "text",
                nullable: false,
                defaultValue: "",
                collation: "C");

            migrationBuilder.AddColumn<string>(
                name: "CacheMiss",
                schema: "orchestrator",
                table: "run_steps",
                type: "text",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "IX_step_cache_Tenant_Uses_StoredAt",
                schema: "orchestrator",
                table: "step_cache",
                columns: new[] { "Tenant", "Uses", "StoredAt" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_step_cache_Tenant_Uses_StoredAt",
                schema: "orchestrator",
                table: "step_cache");

            migrationBuilder.DropColumn(
                name: "Parts",
                schema: "orchestrator",
                table: "step_cache");

            migrationBuilder.DropColumn(
                name: "Uses",
                schema: "orchestrator",
                table: "step_cache");

            migrationBuilder.DropColumn(
                name: "CacheMiss",
                schema: "orchestrator",
                table: "run_steps");
        }
    }
}
