"""TLS on the listeners: who may connect, and certificates that change while the server runs."""

from __future__ import annotations

import socket
import ssl
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from placet.authentication.dev_certificates import CertificateAuthority
from placet.kernel.errors import ConfigurationError
from placet.sdk import Action, CallFailedError, Client, Identity, tls_credentials
from placet.server.settings.sources import load_settings
from placet.transport.tls import read_material
from placet.transport.tls_files import TlsFiles
from tests.serving import serving, settings
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving import Server

SUPPORT = "spiffe://example.org/ns/agents/sa/support"
AUTH_FILE = """
accept = ["certificate"]
[[certificates]]
spiffe_id = "spiffe://example.org/ns/agents/*"
[[certificates.grants]]
role = "agent_runtime"
tenants = "acme"
agents = "support-*"
user = "trusted"
"""
READ = Action("github.read_repo", {"repo": "acme/app"})
IDENTITY = Identity(agent="support-1", user="u_1", tenant="acme")


class Certificates:
    """A folder with the certificates of a CA, a server and a client."""

    def __init__(self, folder: Path, authority: CertificateAuthority | None = None) -> None:
        self.folder = folder
        self.authority = authority or CertificateAuthority()
        folder.mkdir(exist_ok=True)
        self.write("ca.crt", self.authority.certificate)
        self.issue_server()
        self.issue_client("client", SUPPORT)

    def write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    def issue_server(self) -> None:
        certificate, key = self.authority.server(["localhost", "127.0.0.1"])
        self.write("tls.crt", certificate)
        self.write("tls.key", key)

    def issue_client(self, name: str, *spiffe_ids: str) -> None:
        certificate, key = self.authority.client(name, spiffe_ids)
        self.write(f"{name}.crt", certificate)
        self.write(f"{name}.key", key)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "tls_cert_file": self.path("tls.crt"),
            "tls_key_file": self.path("tls.key"),
            "tls_client_ca_file": self.path("ca.crt"),
        }

    def client(self, address: str, name: str = "client", of: Certificates | None = None) -> Client:
        own = of or self
        files = (own.path(f"{name}.crt"), own.path(f"{name}.key")) if name else ("", "")
        return Client(address, timeout=5, on_failure="raise", credentials=tls_credentials(self.path("ca.crt"), *files))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, metrics_port: int) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("tls")
    auth_file = data_dir / "auth.toml"
    auth_file.write_text(AUTH_FILE)
    listen = {"metrics_listen": f"127.0.0.1:{metrics_port}", "auth_file": str(auth_file)}
    with serving(settings(data_dir, **certificates.settings, **listen)) as running:
        yield running


def require_no_answer(client: Client) -> None:
    """Check that the connection is not established."""
    with client, pytest.raises(CallFailedError) as error:
        client.authorize(READ, IDENTITY)
    assert (error.value.failure.error, error.value.failure.rule_id[:11]) == ("", "pdp.client_")


def test_a_client_certificate_says_who_calls(server: Server, certificates: Certificates) -> None:
    with certificates.client(server.address) as client:
        decision = client.authorize(READ, IDENTITY)
    assert decision.effect.value == "allow"
    [record] = [row for row in server.records("decision.made") if row["body"]["decision_id"] == decision.decision_id]
    assert record["body"]["caller"] == SUPPORT


def test_the_caller_may_name_only_its_agents(server: Server, certificates: Certificates) -> None:
    with certificates.client(server.address) as client, pytest.raises(CallFailedError) as error:
        client.authorize(READ, Identity(agent="billing-1", tenant="acme"))
    assert error.value.failure.error == "AGENT_NOT_GRANTED"


def test_an_unknown_certificate_of_the_ca_is_refused(server: Server, certificates: Certificates) -> None:
    certificates.issue_client("other", "spiffe://other.example/ns/agents/sa/support")
    with certificates.client(server.address, "other") as client, pytest.raises(CallFailedError) as error:
        client.authorize(READ, IDENTITY)
    assert error.value.failure.error == "CREDENTIAL_INVALID"


def test_a_certificate_of_another_ca_cannot_connect(server: Server, certificates: Certificates, tmp_path: Path) -> None:
    require_no_answer(certificates.client(server.address, of=Certificates(tmp_path)))
    assert server.running.address


def test_an_expired_certificate_cannot_connect(server: Server, certificates: Certificates, tmp_path: Path) -> None:
    certificate, key = certificates.authority.client("client", [SUPPORT], days=-1)
    expired = Certificates(tmp_path)
    expired.write("client.crt", certificate)
    expired.write("client.key", key)
    require_no_answer(certificates.client(server.address, of=expired))
    assert server.running.address


def test_no_certificate_cannot_connect(server: Server, certificates: Certificates) -> None:
    require_no_answer(certificates.client(server.address, ""))
    require_no_answer(Client(server.address, timeout=2, on_failure="raise"))
    assert server.running.address


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_an_older_tls_cannot_connect(server: Server, certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.path("ca.crt"))
    context.load_cert_chain(certificates.path("client.crt"), certificates.path("client.key"))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port))) as raw, context.wrap_socket(raw, server_hostname=host) as secure:
        assert secure.version() in {"TLSv1.2", "TLSv1.3"}
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((host, int(port))) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname=host)


def test_metrics_need_a_certificate_too(server: Server, certificates: Certificates, metrics_port: int) -> None:
    url = f"https://127.0.0.1:{metrics_port}/metrics"
    context = ssl.create_default_context(cafile=certificates.path("ca.crt"))
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        urllib.request.urlopen(url, context=context, timeout=5).read()
    context.load_cert_chain(certificates.path("client.crt"), certificates.path("client.key"))
    with urllib.request.urlopen(url, context=context, timeout=5) as response:
        assert b"placet_certificate_expires_timestamp_seconds 1" in response.read()
    assert server.running.address


def served_certificate(address: str, certificates: Certificates) -> bytes:
    context = ssl.create_default_context(cafile=certificates.path("ca.crt"))
    context.load_cert_chain(certificates.path("client.crt"), certificates.path("client.key"))
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as raw, context.wrap_socket(raw, server_hostname=host) as secure:
        return secure.getpeercert(binary_form=True) or b""


def test_changed_certificates_are_served_without_a_restart(
    server: Server, certificates: Certificates, metrics_port: int
) -> None:
    addresses = (server.address, f"127.0.0.1:{metrics_port}")
    before = [served_certificate(address, certificates) for address in addresses]
    with certificates.client(server.address) as client:
        client.authorize(READ, IDENTITY)
        old_key = (certificates.folder / "tls.key").read_bytes()
        certificates.issue_server()
        new_key = (certificates.folder / "tls.key").read_bytes()
        certificates.write("tls.key", old_key)  # half of a change: the pair does not match, so nothing is taken over
        time.sleep(3)
        assert [served_certificate(address, certificates) for address in addresses] == before
        certificates.write("tls.key", new_key)
        deadline = time.monotonic() + 30
        while any(served_certificate(a, certificates) == b for a, b in zip(addresses, before, strict=True)):
            assert time.monotonic() < deadline, "the new certificate is not served"
            time.sleep(0.2)
        assert client.authorize(READ, IDENTITY).effect.value == "allow", "the connection stays"
    with certificates.client(server.address) as client:
        assert client.authorize(READ, IDENTITY).effect.value == "allow"


def accepts(address: str, server: Certificates, client: Certificates) -> bool:
    """Return whether a listener takes the client's certificate."""
    context = ssl.create_default_context(cafile=server.path("ca.crt"))
    context.load_cert_chain(client.path("client.crt"), client.path("client.key"))
    context.set_alpn_protocols(["h2", "http/1.1"])  # gRPC speaks the first alone
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname=host) as secure,
        ):
            secure.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return bool(secure.recv(1))
    except (ssl.SSLError, OSError):
        return False


def test_a_removed_client_ca_is_trusted_no_more(tmp_path: Path) -> None:
    made, other = Certificates(tmp_path / "certificates"), Certificates(tmp_path / "other")
    made.write("clients.crt", made.authority.certificate + other.authority.certificate)
    port = free_port()
    changes = {**made.settings, "tls_client_ca_file": made.path("clients.crt"), "metrics_listen": f"127.0.0.1:{port}"}
    with serving(settings(tmp_path, **changes)) as server:
        addresses = (f"127.0.0.1:{port}", server.address)
        assert all(accepts(address, made, other) for address in addresses)
        made.write("clients.crt", made.authority.certificate)
        deadline = time.monotonic() + 30
        while any(accepts(address, made, other) for address in addresses):
            assert time.monotonic() < deadline, "the removed CA is still trusted"
            time.sleep(0.2)
        assert all(accepts(address, made, made) for address in addresses)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("missing", "tls_cert_file: cannot read"),
        ("other key", "is not the key of the first certificate"),
        ("open key", "chmod o-rwx"),
        ("no pem", "tls_cert_file: .* holds no certificate"),
        ("no key", "tls_key_file: .* holds no private key"),
        ("expired", "tls_cert_file: .* expired at"),
        ("no ca", "tls_client_ca_file: .* holds no certificate"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, change: str, found: str) -> None:
    made = Certificates(tmp_path, CertificateAuthority(days=-1) if change == "expired" else None)
    match change:
        case "missing":
            (tmp_path / "tls.crt").unlink()
        case "other key":
            made.write("tls.key", (tmp_path / "client.key").read_bytes())
        case "open key":
            (tmp_path / "tls.key").chmod(0o644)
        case "no pem":
            made.write("tls.crt", b"nothing")
        case "no key":
            made.write("tls.key", b"nothing")
        case "no ca":
            made.write("ca.crt", b"nothing")
    with pytest.raises(ConfigurationError, match=found):
        read_material(TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "ca.crt"))


def test_both_addresses_take_their_credentials(tmp_path: Path) -> None:
    made = Certificates(tmp_path / "certificates")
    auth_file = tmp_path / "auth.toml"
    auth_file.write_text(AUTH_FILE)
    port = free_port()
    changes = {**made.settings, "auth_file": str(auth_file), "mtls_listen": f"127.0.0.1:{port}"}
    with serving(settings(tmp_path, **changes)) as server:
        with made.client(f"127.0.0.1:{port}") as client:
            assert client.authorize(READ, IDENTITY).effect.value == "allow"
        with made.client(server.address, "") as client, pytest.raises(CallFailedError) as error:
            client.authorize(READ, IDENTITY)
        assert error.value.failure.error == "CREDENTIAL_MISSING"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"listen": "0.0.0.0:7070"}, "callers are not authenticated"),
        ({"listen": "0.0.0.0:7070", "auth_file": "a.toml"}, "credentials would travel unencrypted"),
        ({"tls_cert_file": "a.crt"}, "set both or neither"),
        ({"tls_client_ca_file": "a.crt"}, "needs tls_cert_file"),
        ({"mtls_listen": "127.0.0.1:1"}, "needs tls_client_ca_file"),
        ({"metrics_listen": "0.0.0.0:9090", "auth_file": "a.toml"}, "its readers are not authenticated"),
    ],
)
def test_unsafe_listeners_are_refused(tmp_path: Path, changes: dict[str, str], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        settings(tmp_path, **changes)


def test_a_proxy_may_end_tls(tmp_path: Path) -> None:
    accepted = settings(tmp_path, listen="0.0.0.0:7070", auth_file="a.toml", tls_terminated=True)
    assert accepted.tls_files is None


def test_the_variables_of_a_client_are_no_settings(
    monkeypatch: pytest.MonkeyPatch, server: Server, certificates: Certificates
) -> None:
    """A shell with the certificate of a client can start a server, which does not present it."""
    monkeypatch.setenv("PLACET_TLS_CA_FILE", certificates.path("ca.crt"))
    monkeypatch.setenv("PLACET_CLIENT_CERT_FILE", certificates.path("client.crt"))
    monkeypatch.setenv("PLACET_CLIENT_KEY_FILE", certificates.path("client.key"))
    with Client(server.address, timeout=5, on_failure="raise") as client:
        assert client.authorize(READ, IDENTITY).effect.value == "allow"
    assert load_settings({})[0].tls_files is None
