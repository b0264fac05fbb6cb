using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace TinyMLaaS.Persistence;

/// <summary>
/// A time as UTC ticks: SQLite has no type for it, text would not compare, and PostgreSQL's own type drops the last digit, so that what was
/// written would not be found again.
/// </summary>
public sealed class UtcTicks() : ValueConverter<DateTimeOffset, long>(time => time.UtcTicks, ticks => new DateTimeOffset(ticks, TimeSpan.Zero));
