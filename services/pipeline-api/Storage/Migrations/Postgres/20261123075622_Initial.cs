using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace TinyMLaaS.PipelineApi.Storage.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class Initial : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.EnsureSchema(
                name: "pipeline_api");

            migrationBuilder.CreateTable(
                name: "accepted_runs",
                schema: "pipeline_api",
                columns: table => new
                {
                    RunId = table.Column<Guid>(type: "uuid", nullable: false),
                    Tenant = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Submission = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    HandedOver = table.Column<bool>(type: "boolean", nullable: false),
                    AcceptedAt = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_accepted_runs", x => x.RunId);
                });

            migrationBuilder.CreateTable(
                name: "datasets",
                schema: "pipeline_api",
                columns: table => new
                {
                    Tenant = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Digest = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Size = table.Column<long>(type: "bigint", nullable: false),
                    CreatedAt = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_datasets", x => new { x.Tenant, x.Name });
                });

            migrationBuilder.CreateTable(
                name: "idempotency_keys",
                schema: "pipeline_api",
                columns: table => new
                {
                    Tenant = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Key = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Fingerprint = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    RunId = table.Column<Guid>(type: "uuid", nullable: false),
                    Answer = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    CreatedAt = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_idempotency_keys", x => new { x.Tenant, x.Key });
                });

            migrationBuilder.CreateTable(
                name: "models",
                schema: "pipeline_api",
                columns: table => new
                {
                    Id = table.Column<Guid>(type: "uuid", nullable: false),
                    Tenant = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Digest = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Size = table.Column<long>(type: "bigint", nullable: false),
                    CreatedAt = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_models", x => x.Id);
                });

            migrationBuilder.CreateTable(
                name: "pipelines",
                schema: "pipeline_api",
                columns: table => new
                {
                    Tenant = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Document = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    CreatedAt = table.Column<long>(type: "bigint", nullable: false),
                    UpdatedAt = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_pipelines", x => new { x.Tenant, x.Name });
                });

            migrationBuilder.CreateTable(
                name: "transformers",
                schema: "pipeline_api",
                columns: table => new
                {
                    Name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Worker = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Descriptor = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    LastSeen = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_transformers", x => x.Name);
                });

            migrationBuilder.CreateIndex(
                name: "IX_accepted_runs_HandedOver_AcceptedAt",
                schema: "pipeline_api",
                table: "accepted_runs",
                columns: new[] { "HandedOver", "AcceptedAt" });

            migrationBuilder.CreateIndex(
                name: "IX_idempotency_keys_CreatedAt",
                schema: "pipeline_api",
                table: "idempotency_keys",
                column: "CreatedAt");

            migrationBuilder.CreateIndex(
                name: "IX_models_Tenant_CreatedAt_Id",
                schema: "pipeline_api",
                table: "models",
                columns: new[] { "Tenant", "CreatedAt", "Id" });

            migrationBuilder.CreateIndex(
                name: "IX_models_Tenant_Name_CreatedAt",
                schema: "pipeline_api",
                table: "models",
                columns: new[] { "Tenant", "Name", "CreatedAt" });

            migrationBuilder.CreateIndex(
                name: "IX_transformers_Worker",
                schema: "pipeline_api",
                table: "transformers",
                column: "Worker");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "accepted_runs",
                schema: "pipeline_api");

            migrationBuilder.DropTable(
                name: "datasets",
                schema: "pipeline_api");

            migrationBuilder.DropTable(
                name: "idempotency_keys",
                schema: "pipeline_api");

            migrationBuilder.DropTable(
                name: "models",
                schema: "pipeline_api");

            migrationBuilder.DropTable(
                name: "pipelines",
                schema: "pipeline_api");

            migrationBuilder.DropTable(
                name: "transformers",
                schema: "pipeline_api");
        }
    }
}
