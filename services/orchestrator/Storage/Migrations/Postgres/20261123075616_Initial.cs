using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace TinyMLaaS.Orchestrator.Storage.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class Initial : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.EnsureSchema(
                name: "orchestrator");

            migrationBuilder.CreateTable(
                name: "runs",
                schema: "orchestrator",
                columns: table => new
                {
                    CorrelationId = table.Column<Guid>(type: "uuid", nullable: false),
                    Version = table.Column<int>(type: "integer", nullable: false),
                    CurrentState = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Tenant = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Submission = table.Column<string>(type: "text", nullable: false),
                    Priority = table.Column<int>(type: "integer", nullable: false),
                    AcceptedAt = table.Column<long>(type: "bigint", nullable: false),
                    StartedAt = table.Column<long>(type: "bigint", nullable: true),
                    EndedAt = table.Column<long>(type: "bigint", nullable: true),
                    Failure = table.Column<string>(type: "text", nullable: true),
                    FailedStep = table.Column<int>(type: "integer", nullable: true),
                    CancelReason = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    Sequence = table.Column<long>(type: "bigint", nullable: false),
                    Fence = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_runs", x => x.CorrelationId);
                });

            migrationBuilder.CreateTable(
                name: "step_cache",
                schema: "orchestrator",
                columns: table => new
                {
                    Key = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Tenant = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Outputs = table.Column<string>(type: "text", nullable: false),
                    Report = table.Column<string>(type: "text", nullable: false),
                    Metrics = table.Column<string>(type: "text", nullable: false),
                    StoredAt = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_step_cache", x => x.Key);
                });

            migrationBuilder.CreateTable(
                name: "run_events",
                schema: "orchestrator",
                columns: table => new
                {
                    RunId = table.Column<Guid>(type: "uuid", nullable: false),
                    Sequence = table.Column<long>(type: "bigint", nullable: false),
                    Type = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    At = table.Column<long>(type: "bigint", nullable: false),
                    Data = table.Column<string>(type: "text", nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_run_events", x => new { x.RunId, x.Sequence });
                    table.ForeignKey(
                        name: "FK_run_events_runs_RunId",
                        column: x => x.RunId,
                        principalSchema: "orchestrator",
                        principalTable: "runs",
                        principalColumn: "CorrelationId",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "run_steps",
                schema: "orchestrator",
                columns: table => new
                {
                    RunId = table.Column<Guid>(type: "uuid", nullable: false),
                    Position = table.Column<int>(type: "integer", nullable: false),
                    EvaluatesAfter = table.Column<int>(type: "integer", nullable: true),
                    Uses = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Version = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    Worker = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    With = table.Column<string>(type: "text", nullable: true),
                    Datasets = table.Column<string>(type: "text", nullable: false),
                    State = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Cached = table.Column<bool>(type: "boolean", nullable: false),
                    ReadyAt = table.Column<long>(type: "bigint", nullable: true),
                    NotBefore = table.Column<long>(type: "bigint", nullable: false),
                    Unclaimed = table.Column<int>(type: "integer", nullable: false),
                    Deaths = table.Column<int>(type: "integer", nullable: false),
                    Progress = table.Column<double>(type: "double precision", nullable: false),
                    Activity = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    StartedAt = table.Column<long>(type: "bigint", nullable: true),
                    EndedAt = table.Column<long>(type: "bigint", nullable: true),
                    Outputs = table.Column<string>(type: "text", nullable: false),
                    Report = table.Column<string>(type: "text", nullable: true),
                    Metrics = table.Column<string>(type: "text", nullable: false),
                    Failure = table.Column<string>(type: "text", nullable: true),
                    LogLines = table.Column<int>(type: "integer", nullable: false),
                    LogBytes = table.Column<int>(type: "integer", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_run_steps", x => new { x.RunId, x.Position });
                    table.ForeignKey(
                        name: "FK_run_steps_runs_RunId",
                        column: x => x.RunId,
                        principalSchema: "orchestrator",
                        principalTable: "runs",
                        principalColumn: "CorrelationId",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "step_log_lines",
                schema: "orchestrator",
                columns: table => new
                {
                    RunId = table.Column<Guid>(type: "uuid", nullable: false),
                    Step = table.Column<int>(type: "integer", nullable: false),
                    Number = table.Column<int>(type: "integer", nullable: false),
                    Text = table.Column<string>(type: "text", nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_step_log_lines", x => new { x.RunId, x.Step, x.Number });
                    table.ForeignKey(
                        name: "FK_step_log_lines_runs_RunId",
                        column: x => x.RunId,
                        principalSchema: "orchestrator",
                        principalTable: "runs",
                        principalColumn: "CorrelationId",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "step_attempts",
                schema: "orchestrator",
                columns: table => new
                {
                    RunId = table.Column<Guid>(type: "uuid", nullable: false),
                    Step = table.Column<int>(type: "integer", nullable: false),
                    Number = table.Column<int>(type: "integer", nullable: false),
                    Fence = table.Column<long>(type: "bigint", nullable: false),
                    State = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    Worker = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    OfferedAt = table.Column<long>(type: "bigint", nullable: false),
                    DueAt = table.Column<long>(type: "bigint", nullable: false),
                    StartedAt = table.Column<long>(type: "bigint", nullable: true),
                    EndedAt = table.Column<long>(type: "bigint", nullable: true),
                    Failure = table.Column<string>(type: "text", nullable: true),
                    Counted = table.Column<bool>(type: "boolean", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_step_attempts", x => new { x.RunId, x.Step, x.Number });
                    table.ForeignKey(
                        name: "FK_step_attempts_run_steps_RunId_Step",
                        columns: x => new { x.RunId, x.Step },
                        principalSchema: "orchestrator",
                        principalTable: "run_steps",
                        principalColumns: new[] { "RunId", "Position" },
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateIndex(
                name: "IX_run_steps_State_ReadyAt",
                schema: "orchestrator",
                table: "run_steps",
                columns: new[] { "State", "ReadyAt" });

            migrationBuilder.CreateIndex(
                name: "IX_runs_Tenant_AcceptedAt_CorrelationId",
                schema: "orchestrator",
                table: "runs",
                columns: new[] { "Tenant", "AcceptedAt", "CorrelationId" });

            migrationBuilder.CreateIndex(
                name: "IX_step_attempts_RunId_Fence",
                schema: "orchestrator",
                table: "step_attempts",
                columns: new[] { "RunId", "Fence" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_step_attempts_State_DueAt",
                schema: "orchestrator",
                table: "step_attempts",
                columns: new[] { "State", "DueAt" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "run_events",
                schema: "orchestrator");

            migrationBuilder.DropTable(
                name: "step_attempts",
                schema: "orchestrator");

            migrationBuilder.DropTable(
                name: "step_cache",
                schema: "orchestrator");

            migrationBuilder.DropTable(
                name: "step_log_lines",
                schema: "orchestrator");

            migrationBuilder.DropTable(
                name: "run_steps",
                schema: "orchestrator");

            migrationBuilder.DropTable(
                name: "runs",
                schema: "orchestrator");
        }
    }
}
