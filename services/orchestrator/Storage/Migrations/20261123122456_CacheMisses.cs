using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace TinyMLaaS.Orchestrator.Storage.Migrations
{
    /// <inheritdoc />
    public partial class CacheMisses : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<string>(
                name: "Parts",
                table: "step_cache",
                type: "TEXT",
                nullable: false,
                defaultValue: "null");

            migrationBuilder.AddColumn<string>(
                name: "Uses",
                table: "step_cache",
                type: "TEXT",
                nullable: false,
                defaultValue: "");

            migrationBuilder.AddColumn<string>(
                name: "CacheMiss",
                table: "run_steps",
                type: "TEXT",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "IX_step_cache_Tenant_Uses_StoredAt",
                table: "step_cache",
                columns: new[] { "Tenant", "Uses", "StoredAt" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_step_cache_Tenant_Uses_StoredAt",
                table: "step_cache");

            migrationBuilder.DropColumn(
                name: "Parts",
                table: "step_cache");

            migrationBuilder.DropColumn(
                name: "Uses",
                table: "step_cache");

            migrationBuilder.DropColumn(
                name: "CacheMiss",
                table: "run_steps");
        }
    }
}
