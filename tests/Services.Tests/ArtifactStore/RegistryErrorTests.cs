using System.Net;
using TinyMLaaS.Contracts.Registry;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>Requests of somebody who means no good, or does not know better.</summary>
public sealed class RegistryErrorTests : IAsyncLifetime
{
    private const string Digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    private RegistryUnderTest _registry = null!;

    public async ValueTask InitializeAsync() => _registry = await RegistryUnderTest.StartAsync();

    public ValueTask DisposeAsync() => _registry.DisposeAsync();

    [Theory]
    [InlineData("GET", "/v2/acme/Images/manifests/1", 400, "NAME_INVALID")]
    [InlineData("GET", "/v2/acme/-a/manifests/1", 400, "NAME_INVALID")]
    [InlineData("GET", "/v2/acme/a..b/manifests/1", 400, "NAME_INVALID")]
    [InlineData("GET", "/v2/acme/_tags/manifests/1", 400, "NAME_INVALID")]
    [InlineData("GET", "/v2/acme//a/manifests/1", 400, "NAME_INVALID")]
    [InlineData("GET", "/v2/acme/%2e%2e%2f%2e%2e%2fetc/manifests/passwd", 400, "NAME_INVALID")]
    [InlineData("GET", "/v2/acme/a%00/manifests/1", 400, null)]
    [InlineData("GET", "/v2/acme/a%0a/manifests/1", 400, "NAME_INVALID")]
    [InlineData("PUT", "/v2/acme/a/manifests/.hidden", 400, "MANIFEST_INVALID")]
    [InlineData("PUT", "/v2/acme/a/manifests/%2e%2e%2fx", 400, "MANIFEST_INVALID")]
    [InlineData("GET", "/v2/acme/a/manifests/-1", 400, "MANIFEST_INVALID")]
    [InlineData("GET", "/v2/acme/a/manifests/sha256:123", 400, "DIGEST_INVALID")]
    [InlineData("GET", "/v2/acme/a/manifests/sha512:123", 400, "DIGEST_INVALID")]
    [InlineData("GET", "/v2/acme/a/blobs/sha256:..", 400, "DIGEST_INVALID")]
    [InlineData("GET", "/v2/acme/a/referrers/1", 400, "DIGEST_INVALID")]
    [InlineData("POST", "/v2/acme/a/blobs/uploads/?digest=sha256:1", 400, "DIGEST_INVALID")]
    [InlineData("POST", "/v2/acme/a/blobs/uploads/?mount=sha256:1&from=acme/b", 400, "DIGEST_INVALID")]
    [InlineData("GET", "/v2/acme/a/blobs/uploads/../../../x", 404, "UNSUPPORTED")]
    [InlineData("GET", "/v2/acme/a/blobs/uploads/1", 404, "BLOB_UPLOAD_UNKNOWN")]
    [InlineData("PATCH", "/v2/acme/a/blobs/uploads/00000000000000000000000000000000", 404, "BLOB_UPLOAD_UNKNOWN")]
    [InlineData("PUT", "/v2/acme/a/blobs/uploads/00000000000000000000000000000000?digest=" + Digest, 404, "BLOB_UPLOAD_UNKNOWN")]
    [InlineData("GET", "/v2/acme/manifests/1", 404, "NAME_UNKNOWN")]
    [InlineData("GET", "/v2/a/b/manifests/1", 404, "NAME_UNKNOWN")]
    [InlineData("GET", "/v2/_catalog", 404, "UNSUPPORTED")]
    [InlineData("GET", "/v2/acme/a", 404, "UNSUPPORTED")]
    [InlineData("POST", "/v2/acme/a/manifests/1", 405, "UNSUPPORTED")]
    [InlineData("GET", "/v2/acme/a/blobs/uploads/", 405, "UNSUPPORTED")]
    [InlineData("PUT", "/v2/acme/a/blobs/" + Digest, 405, "UNSUPPORTED")]
    [InlineData("DELETE", "/v2/acme/a/tags/list", 405, "UNSUPPORTED")]
    [InlineData("BREW", "/v2/acme/a/manifests/1", 405, "UNSUPPORTED")]
    public async Task A_wrong_request_is_refused_in_the_words_of_the_specification(string method, string path, int status, string? code)
    {
        var sent = _registry.SendAsync(new HttpMethod(method), path, method is "PUT" or "PATCH" ? [1] : null);
        if (code is not null)
            await RegistryUnderTest.RefusedAsync(sent, (HttpStatusCode)status, code);
        else
            Assert.Equal(status, (int)(await sent).StatusCode); // Kestrel reads no such address.
        Assert.False(Directory.Exists(Path.Combine(_registry.Root, ".registry")));
    }

    [Theory]
    [InlineData("a/b", true)]
    [InlineData("a/b.c/d_e/f__g/h-i/j---k/0", true)]
    [InlineData("a", true)]
    [InlineData("", false)]
    [InlineData("/a", false)]
    [InlineData("a/", false)]
    [InlineData("a//b", false)]
    [InlineData("a/.b", false)]
    [InlineData("a/b.", false)]
    [InlineData("a/b___c", false)]
    [InlineData("a/b._c", false)]
    [InlineData("a/_b", false)]
    [InlineData("a/B", false)]
    [InlineData("a/b\n", false)]
    [InlineData("ä/b", false)]
    public void Names_of_repositories_have_a_grammar(string name, bool right) => Assert.Equal(right, RepositoryNames.IsName(name));

    [Fact]
    public void Names_and_tags_have_a_length()
    {
        Assert.True(RepositoryNames.IsName(new string('a', 255)));
        Assert.False(RepositoryNames.IsName(new string('a', 256)));
        Assert.True(RepositoryNames.IsTag(new string('a', 128)));
        Assert.False(RepositoryNames.IsTag(new string('a', 129)));
        Assert.False(RepositoryNames.IsTag(""));
        Assert.False(RepositoryNames.IsTag("a\n"));
        Assert.False(RepositoryNames.IsTag(".."));
        Assert.Equal(RegistryCodes.NameInvalid, RegistryPath.Read($"/v2/{new string('a', 100_000)}/manifests/1").Refusal?.Code);
    }

    [Theory]
    [InlineData("/v2/acme/a/b/manifests/1", RegistryResource.Manifest, "acme/a/b", "1")]
    [InlineData("/v2/acme/manifests/manifests/1", RegistryResource.Manifest, "acme/manifests", "1")]
    [InlineData("/v2/acme/blobs/uploads/manifests/1", RegistryResource.Manifest, "acme/blobs/uploads", "1")]
    [InlineData("/v2/acme/tags/list/tags/list", RegistryResource.Tags, "acme/tags/list", "")]
    [InlineData("/v2/acme/a/blobs/uploads/", RegistryResource.Uploads, "acme/a", "")]
    [InlineData("/v2/acme/a/blobs/uploads/00000000000000000000000000000000", RegistryResource.Upload, "acme/a", "00000000000000000000000000000000")]
    [InlineData("/v2/acme/a/blobs/" + Digest, RegistryResource.Blob, "acme/a", Digest)]
    [InlineData("/v2/acme/a/referrers/" + Digest, RegistryResource.Referrers, "acme/a", Digest)]
    public void A_path_is_read_from_its_end_and_written_as_it_was(string text, RegistryResource resource, string repository, string reference)
    {
        var path = RegistryPath.Read(text).Path!;

        Assert.Equal((resource, repository, reference, text), (path.Resource, path.Repository, path.Reference, path.Text));
        Assert.Equal(("acme", repository["acme/".Length..]), (path.Tenant, path.Name));
    }
}
