using System.Text.Json;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>A contract value in a text column; the control plane never queries inside it. Such a value is replaced and never changed, so the same object is the same value.</summary>
internal static class JsonColumn
{
    public static PropertyBuilder<T> HasJsonColumn<T>(this PropertyBuilder<T> property)
    {
        property.HasConversion(
            new ValueConverter<T, string>(value => Write(value), text => Read<T>(text)),
            // What was loaded and left alone is compared often, and would be written as JSON for it each time.
            new ValueComparer<T>((a, b) => EqualityComparer<T>.Default.Equals(a, b) || Write(a) == Write(b), value => StringComparer.Ordinal.GetHashCode(Write(value)), value => value));
        return property;
    }

    private static string Write<T>(T? value) => JsonSerializer.Serialize(value, ContractJson.Options);

    private static T Read<T>(string text) => JsonSerializer.Deserialize<T>(text, ContractJson.Options)!;
}
