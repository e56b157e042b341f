"""Policy by a registry of OCI images: pushed by the command, pulled by the pinned OPA and by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from placet.authentication.dev_certificates import CertificateAuthority
from placet.engine.download import DownloadError
from placet.engine.registry import RegistryAddress, RegistryReleases, push_release
from placet.kernel.errors import ConfigurationError, UnavailableError
from tests.faults.distribution import opa_revision, opa_with, placet
from tests.faults.serving import START_SECONDS_MAX, Server, eventually
from tests.policy.releases import small_release
from tests.policy.test_release import write_public
from tests.support.registries import PASSWORD, USER, registry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.distribution import Published

KEY = ec.generate_private_key(ec.SECP256R1())


def push(file: Path, destination: str, *options: object) -> tuple[int, str, str]:
    """Run `placet policy push`. Returns the exit code, the output and the errors."""
    ran = placet("policy", "push", file, destination, *options, folder=file.parent)
    return ran.returncode, ran.stdout.strip(), ran.stderr


def test_opa_pulls_and_verifies_what_was_pushed(tmp_path: Path) -> None:
    public = write_public(KEY, tmp_path / "key.pub.pem")
    file = tmp_path / "bundle.tar.gz"
    with registry(tmp_path) as address:
        file.write_bytes(small_release(1, KEY))
        assert push(file, f"oci+http://{address}/team/policy:prod")[:2] == (0, "1")
        service, resource = {"url": f"http://{address}", "type": "oci"}, f"{address}/team/policy:prod"
        polling = {"min_delay_seconds": 1, "max_delay_seconds": 1}
        log = tmp_path / "opa.log"
        with opa_with(tmp_path, service, resource, public, polling) as opa:
            eventually(lambda: opa_revision(opa) == "1", START_SECONDS_MAX)
            file.write_bytes(small_release(2, None))
            assert push(file, f"oci+http://{address}/team/policy:prod")[0] == 0
            eventually(lambda: "bundle missing .signatures.json file" in log.read_text(), START_SECONDS_MAX)
            assert opa_revision(opa) == "1"
            file.write_bytes(small_release(3, KEY))
            assert push(file, f"oci+http://{address}/team/policy:prod")[0] == 0
            eventually(lambda: opa_revision(opa) == "3", START_SECONDS_MAX)


@pytest.mark.timeout(300)
def test_a_server_serves_what_was_pushed(published: Published, tmp_path: Path) -> None:
    with registry(tmp_path) as address:
        url, file = f"oci+http://{address}/policy:prod", tmp_path / "pushed.tar.gz"
        first, content = published.bundle("first")
        file.write_bytes(content)
        assert push(file, url)[:2] == (0, first)
        server = Server(
            tmp_path / "server", tmp_path / "none", policy_url=url, policy_verification_key=published.public
        )
        try:
            server.wait_until_ready()
            assert server.status().policy_revision == first
            second, content = published.bundle("second")
            file.write_bytes(content)
            assert push(file, url)[0] == 0
            eventually(lambda: server.status().policy_revision == second, 2 * START_SECONDS_MAX)
            assert server.stop() == 0
        finally:
            server.kill()


def test_a_private_ca_and_a_password(tmp_path: Path) -> None:
    authority = CertificateAuthority()
    certificate, key = authority.server(["localhost"])
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    files[0].write_bytes(certificate)
    files[1].write_bytes(key)
    ca_file, token = tmp_path / "ca.crt", tmp_path / "password"
    ca_file.write_bytes(authority.certificate)
    token.write_text(PASSWORD)
    with registry(tmp_path, tls=files, password=True) as address:
        url = f"oci://localhost:{address.rpartition(':')[2]}/team/policy:prod"
        known = RegistryAddress(url, USER, token, ca_file)
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            push_release(RegistryAddress(url, USER, token), b"release", {})
        with pytest.raises(ConfigurationError, match="needs a user and a password"):
            push_release(RegistryAddress(url, ca_file=ca_file), b"release", {})
        with pytest.raises(DownloadError, match="status 404"):
            RegistryReleases(known).get("", 0.0)
        push_release(known, b"release", {"org.opencontainers.image.version": "1"})
        releases = RegistryReleases(known)
        first = releases.get("", 0.0)
        assert (first.content, first.waits) == (b"release", False)
        assert releases.get(first.tag, 0.0).content is None
        push_release(known, b"other", {})
        assert releases.get(first.tag, 0.0).content == b"other"
        token.write_text("wrong")
        with pytest.raises(DownloadError, match="cannot be read"):
            RegistryReleases(known).get("", 0.0)
        with pytest.raises(ConfigurationError, match="was refused"):
            push_release(known, b"third", {})
        blobs = [path for path in (tmp_path / "registry").rglob("data") if path.read_bytes() == b"other"]
        for blob in blobs:
            blob.write_bytes(b"OTHER")  # the registry was broken into
        token.write_text(PASSWORD)
        with pytest.raises(DownloadError, match=r"does not have the digest|cannot be read"):
            RegistryReleases(known).get("", 0.0)
    with pytest.raises(DownloadError, match="cannot be read: ConnectionError"):
        RegistryReleases(known).get("", 0.0)
    with pytest.raises(UnavailableError, match="cannot be reached: ConnectionError"):
        push_release(known, b"release", {})


def test_a_layer_that_is_too_large_or_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with registry(tmp_path) as address:
        known = RegistryAddress(f"oci+http://{address}/policy:prod")
        push_release(known, b"x" * 1_000, {})
        with monkeypatch.context() as patch:
            patch.setattr("placet.engine.registry.RELEASE_BYTES_MAX", 999)
            with pytest.raises(DownloadError, match="is larger than 999 bytes"):
                RegistryReleases(known).get("", 0.0)
        monkeypatch.setattr("placet.engine.registry.LAYER_TYPE", "text/plain")
        with pytest.raises(DownloadError, match="has no layer of the type text/plain"):
            RegistryReleases(known).get("", 0.0)


def test_what_is_not_pushed_to_a_registry(tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    file.write_bytes(small_release(1, KEY))
    assert "oci+http:// is only for a server on this machine" in push(file, "oci+http://10.0.0.1/policy:prod")[2]
    assert "must be oci://registry/repository:tag" in push(file, "oci://registry.example.com/Policy:prod")[2]
    code, _, said = push(file, "oci+http://127.0.0.1:1/policy:prod")
    assert (code, "cannot be reached" in said) == (5, True)
    file.write_bytes(file.read_bytes()[:-100])
    assert "is not a tar.gz" in push(file, "oci+http://127.0.0.1:1/policy:prod")[2]
