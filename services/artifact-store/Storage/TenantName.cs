using System.Diagnostics.CodeAnalysis;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>A checked tenant: no other text can become part of a path.</summary>
internal sealed record TenantName
{
    private TenantName(string text) => Text = text;

    public string Text { get; }

    public static bool TryParse(string? text, [NotNullWhen(true)] out TenantName? tenant)
    {
        tenant = Tenants.IsName(text) ? new TenantName(text!) : null;
        return tenant is not null;
    }

    public override string ToString() => Text;
}
