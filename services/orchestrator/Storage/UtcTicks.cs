using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>A time as UTC ticks: SQLite has no type for it, and text would not compare.</summary>
internal sealed class UtcTicks() : ValueConverter<DateTimeOffset, long>(time => time.UtcTicks, ticks => new DateTimeOffset(ticks, TimeSpan.Zero));
