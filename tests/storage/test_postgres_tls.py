"""TLS to PostgreSQL as docs/how-to/replicas.md says: the server is verified, a client certificate says who asks."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest

from placet.authentication.dev_certificates import CertificateAuthority
from placet.cli.main import main
from placet.kernel.errors import ConfigurationError
from placet.signing.keys import generate_signing_key
from placet.storage.connections.postgres import connect
from placet.storage.postgres.offline import require_fit
from tests.postgres import USER, Postgres, postgres, unprivileged
from tests.storage.making import commitment
from tests.storage.replicas import Replicas

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PLAIN: Final = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '{}' AND NOT ssl"
ENCRYPTED: Final = PLAIN.replace("NOT ssl", "ssl")


class Authority:
    """A CA, whose certificate is `<name>.crt` of a folder, with those that it signs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.file = folder / f"{name}.crt"
        self._authority = CertificateAuthority()
        self.file.write_bytes(self._authority.certificate)

    def server(self, host: str) -> tuple[Path, Path]:
        """Make the certificate of a server and its key."""
        return self._write("postgres", *self._authority.server([host]))

    def client(self, user: str) -> tuple[Path, Path]:
        """Make the certificate of a user and its key."""
        return self._write(user, *self._authority.client(user))

    def _write(self, name: str, certificate: bytes, key: bytes) -> tuple[Path, Path]:
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate)
        files[1].write_bytes(key)
        files[1].chmod(0o600)
        return files


class TlsPostgres:
    """A server that takes connections by TCP with TLS only."""

    def __init__(self, server: Postgres, authority: Authority) -> None:
        self.server = server
        self.allow("hostssl all all 127.0.0.1/32 trust")
        self.present(authority, "localhost")
        files = {"ssl_cert_file": "server.crt", "ssl_key_file": "server.key", "ssl_ca_file": "ca.crt"}
        server.settings |= {"ssl": "on", **{name: str(server.folder / file) for name, file in files.items()}}
        server.stop()
        server.start()

    def present(self, authority: Authority, host: str) -> None:
        """Present a certificate of the CA for the host from now on."""
        certificate, key = authority.server(host)
        for source, name in ((certificate, "server.crt"), (key, "server.key"), (authority.file, "ca.crt")):
            target = self.server.folder / name
            shutil.copy(source, target)
            target.chmod(0o600)
            if user := unprivileged():
                shutil.chown(target, user.pw_uid, user.pw_gid)
        self.server.run("SELECT pg_reload_conf()")

    def allow(self, line: str) -> None:
        """Let connections in by this line only, beside those by the socket."""
        (self.server.data / "pg_hba.conf").write_text(f"local all all trust\n{line}\n")
        self.server.run("SELECT pg_reload_conf()")

    def url(self, database: str, ca: Path, *, host: str = "localhost", more: str = "") -> str:
        there = f"{USER}@{host}:{self.server.port}/{database}?hostaddr=127.0.0.1"
        return f"postgresql://{there}&sslmode=verify-full&sslrootcert={ca}{more}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture(scope="module")
def encrypted(authority: Authority) -> Iterator[TlsPostgres]:
    with postgres() as server:
        yield TlsPostgres(server, authority)


@pytest.fixture
async def replicas(encrypted: TlsPostgres) -> AsyncIterator[Replicas]:
    opened = Replicas(encrypted.server, encrypted.server.new_database(), generate_signing_key(), [])
    yield opened
    await opened.close()


async def test_every_session_is_encrypted(encrypted: TlsPostgres, replicas: Replicas, authority: Authority) -> None:
    ledger = replicas.open(url=encrypted.url(replicas.database, authority.file))
    ledger.subscribe(lambda: None)
    await ledger.commit([commitment(1)])
    assert (await ledger.verify()).problems == ()
    assert encrypted.server.run(PLAIN.format(replicas.database)) == [(0,)]
    [(sessions,)] = encrypted.server.run(ENCRYPTED.format(replicas.database))
    assert int(str(sessions)) >= 2
    plain = f"postgresql://{USER}@127.0.0.1:{encrypted.server.port}/{replicas.database}?sslmode=disable"
    with pytest.raises(ConfigurationError, match="no encryption"):
        require_fit(plain)


def test_another_host_another_ca_and_no_tls_are_refused(
    encrypted: TlsPostgres, replicas: Replicas, authority: Authority, tmp_path: Path, postgres_server: Postgres
) -> None:
    other = Authority(tmp_path, "other")
    urls = {
        encrypted.url(
            replicas.database, authority.file, host="db.internal"
        ): r'for "localhost" does not match .*db\.int',
        encrypted.url(replicas.database, other.file): "certificate verify failed",
        encrypted.url(replicas.database, tmp_path / "none.crt"): "none.crt",
        postgres_server.url("postgres", tcp=True)
        + f"?sslmode=verify-full&sslrootcert={authority.file}": "not support SSL",
    }
    for url, reason in urls.items():
        with pytest.raises(ConfigurationError, match=f"cannot be (used|read|made).*{reason}|{reason}") as caught:
            replicas.open(url=url)
        assert "\n" not in str(caught.value)


def test_doctor_accepts_it(
    encrypted: TlsPostgres, replicas: Replicas, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["doctor", "--production", "--database-url", encrypted.url(replicas.database, authority.file)])
    told = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "ok" in told["database tls"]
    assert "ok" in told["database"].split()


def test_a_client_certificate_says_who_connects(
    encrypted: TlsPostgres, replicas: Replicas, authority: Authority
) -> None:
    certificate, key = authority.client(USER)
    other_certificate, other_key = authority.client("stranger")
    encrypted.allow(f"hostssl all {USER} 127.0.0.1/32 cert")
    try:
        mine = encrypted.url(replicas.database, authority.file, more=f"&sslcert={certificate}&sslkey={key}")
        with connect(mine, "test").driver as session:
            assert session.execute("SELECT current_user").fetchone() == (USER,)
        for more in ("", f"&sslcert={other_certificate}&sslkey={other_key}"):
            with pytest.raises(ConfigurationError, match="certificate"):
                require_fit(encrypted.url(replicas.database, authority.file, more=more))
    finally:
        encrypted.allow("hostssl all all 127.0.0.1/32 trust")


async def test_certificates_and_the_ca_are_rotated_while_a_replica_runs(
    encrypted: TlsPostgres, replicas: Replicas, authority: Authority, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.crt"
    shutil.copy(authority.file, trusted)
    ledger = replicas.open(url=encrypted.url(replicas.database, trusted))
    await ledger.commit([commitment(1)])
    new = Authority(tmp_path, "new")
    trusted.write_bytes(authority.file.read_bytes() + new.file.read_bytes())
    try:
        encrypted.present(new, "localhost")
        replicas.terminate()
        await ledger.commit([commitment(2)])
        trusted.write_bytes(new.file.read_bytes())
        replicas.terminate()
        await ledger.commit([commitment(3)])
    finally:
        encrypted.present(authority, "localhost")
    assert encrypted.server.run(PLAIN.format(replicas.database)) == [(0,)]
