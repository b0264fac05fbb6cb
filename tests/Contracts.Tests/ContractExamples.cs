using System.Collections;
using System.Reflection;
using System.Text.Json;

namespace TinyMLaaS.Contracts.Tests;

/// <summary>
/// Every record of the contracts with every property set to a value that is made from its name and type, so a new property is in the
/// example, and thereby in the golden file, without anybody thinking of it.
/// </summary>
internal static class ContractExamples
{
    private const int ItemsPerList = 1;
    private static readonly Guid Id = Guid.Parse("0198c0de-0000-7000-8000-000000000001");
    private static readonly DateTimeOffset At = new(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);

    /// <summary>All records: messages, events, resources and what they are made of.</summary>
    public static IReadOnlyList<Type> Types { get; } =
        [.. typeof(ContractJson).Assembly.GetExportedTypes().Where(IsRecord).OrderBy(t => t.FullName, StringComparer.Ordinal)];

    /// <summary>Name of the golden file.</summary>
    public static string NameOf(Type type) => type.Name.Split('`')[0];

    public static object Create(Type type) => Create(type.IsGenericTypeDefinition ? type.MakeGenericType(typeof(Violation)) : type, type.Name);

    private static bool IsRecord(Type type) => type is { IsClass: true, IsAbstract: false } && type.GetMethod("<Clone>$") is not null;

    private static object Create(Type type, string name)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type == typeof(string))
            return $"{JsonNamingPolicy.KebabCaseLower.ConvertName(name)}-text";
        if (type == typeof(int))
            return 3;
        if (type == typeof(long))
            return 5_000_000_000L;
        if (type == typeof(double))
            return 0.25;
        if (type == typeof(bool))
            return true;
        if (type == typeof(Guid))
            return Id;
        if (type == typeof(DateTimeOffset))
            return At;
        if (type == typeof(TimeSpan))
            return TimeSpan.FromSeconds(20);
        if (type == typeof(JsonElement))
            return JsonElement.Parse("""{"some-option":[1,"two",null]}""");
        if (type.IsGenericType && type.GetGenericTypeDefinition() is { } definition)
        {
            var arguments = type.GetGenericArguments();
            if (definition == typeof(IReadOnlyDictionary<,>))
            {
                var dictionary = (IDictionary)Activator.CreateInstance(typeof(Dictionary<,>).MakeGenericType(arguments))!;
                dictionary.Add("some-key", Create(arguments[1], "value"));
                return dictionary;
            }
            if (definition == typeof(IReadOnlyList<>))
            {
                var list = Array.CreateInstance(arguments[0], ItemsPerList);
                list.SetValue(Create(arguments[0], "item"), 0);
                return list;
            }
        }
        if (!IsRecord(type))
            throw new NotSupportedException($"{type} is of a kind that no contract has had yet. Give it an example here.");
        var record = Activator.CreateInstance(type)!;
        foreach (var property in type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.SetMethod is not null))
            property.SetValue(record, Create(property.PropertyType, property.Name));
        return record;
    }
}
