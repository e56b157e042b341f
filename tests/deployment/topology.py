"""The deployment of a company, as processes: two replicas behind Envoy, PostgreSQL, and a server of signed bundles."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
import ssl
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg

from placet.authentication.dev_certificates import CertificateAuthority
from placet.sdk import Client, ControlClient, tls_credentials
from placet.signing.keys import PUBLIC_NAME
from tests.deployment.envoy import balancing, configure
from tests.deployment.load import (
    ALLOW,
    BUDGETS,
    COUPON,
    COUPONS_MAX,
    RIGHT,
    RIGHT_LATER,
    TENANT,
    Load,
    connection,
    running,
)
from tests.faults.distribution import Published
from tests.faults.serving import Server, environment, eventually
from tests.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deployment.envoy import Envoy
    from tests.postgres import Postgres

TENANT_FILE: Final = Path(__file__).parent / "shop.yaml"
OWNER, WRITER = "placet_owner", "placet_writer"
NAMES: Final = ("a", "b")
READY_SECONDS_MAX: Final = 120.0
ENGINE_TIMEOUT_MS: Final = 2_000


def placet(*arguments: object, **variables: str) -> str:
    """Run a command, which must succeed, and return what it prints."""
    command = [sys.executable, "-m", "placet", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment() | variables, check=False)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout.strip()


def own_host() -> str:
    """Return an address of loopback that no other test has, so that its ports are still free after a restart."""
    return f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


class Certificates:
    """The folder with the certificate of all servers, and the CA that signs it."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self._authority = CertificateAuthority()
        self._hosts = ["placet", host]
        folder.mkdir()
        self._replace("ca.crt", self._authority.certificate)
        self.renew()

    def renew(self) -> bytes:
        """Replace certificate and key as an operator does, each by a rename. Returns the certificate as DER."""
        certificate, key = self._authority.server(self._hosts)
        self._replace("tls.key", key)
        self._replace("tls.crt", certificate)
        return ssl.PEM_cert_to_DER_cert(certificate.decode())

    def _replace(self, name: str, content: bytes) -> None:
        new = self.folder / f".{name}.new"
        new.write_bytes(content)
        new.chmod(0o600)
        new.replace(self.folder / name)

    def served(self, address: str) -> bytes:
        """Return the certificate that a new connection gets, as DER."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        with (
            socket.create_connection((host, int(port)), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="placet") as secure,
        ):
            return secure.getpeercert(binary_form=True) or b""


class Deployment:
    """All processes, and what an operator does with them. Ports are fixed, because the host is its own."""

    def __init__(self, folder: Path, database: Postgres, published: Published) -> None:
        self.folder = folder
        self.host = own_host()
        self.address, self.admin = f"{self.host}:7443", f"{self.host}:9901"
        self.replica_addresses = [f"{self.host}:{7070 + number}" for number, _ in enumerate(NAMES)]
        self.database = database
        self.certificates = Certificates(folder / "tls", self.host)
        self.published = published
        shutil.copy(TENANT_FILE, self.published.rego_dir / "config" / f"{TENANT}.yaml")
        self._create_database()
        (folder / "auth.toml").write_text('accept = ["token"]\n')
        self.admin_token = self._token("admin", "--role", "admin", "--tenant", "*")
        runtime = ["--role", "agent_runtime", "--tenant", TENANT, "--agent", "shop-*", "--user", "trusted"]
        self.runtime_token = self._token("shop", *runtime)
        self.revision, bundle = self.published.bundle("first")
        self.published.push(bundle)
        self.right = {self.revision: RIGHT}
        self.replicas: list[Server] = []
        self.loads: list[Load] = []
        self.envoy: Envoy

    def start(self) -> None:
        """Start the replicas. They become ready at their own pace: Envoy waits for them."""
        self.replicas = [self._start(name) for name in NAMES]

    def url(self, role: str) -> str:
        return self.database.url("placet").replace("//placet@", f"//{role}@")

    def _create_database(self) -> None:
        for role in (OWNER, WRITER):
            self.database.run(f"CREATE ROLE {role} LOGIN")
        self.database.run(f"CREATE DATABASE placet OWNER {OWNER}")
        placet("db", "upgrade", "--database-url", self.url(OWNER))
        placet("db", "grants", "--apply", "--database-url", self.url(OWNER))

    def _token(self, name: str, *options: str) -> str:
        place = ["--database-url", self.url(WRITER), "--data-dir", self.folder / NAMES[0] / "data"]
        (self.folder / NAMES[0]).mkdir(exist_ok=True)
        return placet("tokens", "create", name, *options, *place, PLACET_REPLICA_ID=NAMES[0])

    def _start(self, name: str) -> Server:
        settings: dict[str, Any] = {
            "listen": self.replica_addresses[NAMES.index(name)],
            "replica_id": name,
            "database_url": self.url(WRITER),
            "auth_file": self.folder / "auth.toml",
            "tls_cert_file": self.certificates.folder / "tls.crt",
            "tls_key_file": self.certificates.folder / "tls.key",
            "policy_url": self.published.url,
            "policy_verification_key": self.published.public,
            "opa_timeout_ms": ENGINE_TIMEOUT_MS,
            "no_reflection": True,
        }
        return Server(self.folder / name, self.folder / "none", **settings)

    def restart(self, number: int) -> None:
        self.replicas[number] = self._start(NAMES[number])

    def wait_until_whole(self) -> None:
        """Wait until Envoy sends calls to both replicas, and each answers some."""
        eventually(lambda: self.envoy.healthy() == len(NAMES), READY_SECONDS_MAX, "two healthy replicas")
        before = self.envoy.requests()
        eventually(
            lambda: all(count > before[host] for host, count in self.envoy.requests().items()),
            READY_SECONDS_MAX,
            "calls to both replicas",
        )

    def client(self) -> Client:
        return connection(self.address, self.certificates.folder / "ca.crt", self.runtime_token)

    def control(self) -> ControlClient:
        credentials = tls_credentials(str(self.certificates.folder / "ca.crt"))
        return ControlClient(self.address, timeout=30, credentials=credentials, token=self.admin_token)

    def publish(self, *tools: str) -> str:
        """Push a policy that lists more tools, and return its revision."""
        file = self.published.rego_dir / "config" / f"{TENANT}.yaml"
        file.write_text(file.read_text().replace("[orders.read]", f"[{', '.join(('orders.read', *tools))}]"))
        revision, bundle = self.published.bundle("second")
        self.right[revision] = RIGHT_LATER
        self.published.push(bundle)
        return revision

    @contextlib.contextmanager
    def load(self) -> Iterator[Load]:
        """Run callers for the duration of the block. Then check each answer, and that the accounts add up."""
        load = Load(self.client, self.right)
        with running(load):
            yield load
        assert load.broken == []
        assert load.wrong == []
        self.loads.append(load)
        self.check_trail(load)
        self.check_budgets()

    def check_trail(self, load: Load) -> None:
        """Check that the trail has each answer as it was given, and verifies with its state."""
        trail = self.decided()
        for answer in load.answers:
            assert trail.get(answer.decision.decision_id) == (answer.tool, *answer.said)
        keys = [server.data_dir / "keys" / PUBLIC_NAME for server in self.replicas]
        options = [part for key in keys for part in ("--public-key", key)]
        placet("audit", "verify", "--state", "--database-url", self.url(OWNER), *options)

    def check_budgets(self) -> None:
        """Check that each allow of the trail is counted once, and that reported calls are the used ones."""
        allowed = Counter(tool for tool, effect, _ in self.decided().values() if effect == ALLOW)
        with self.control() as control:
            counted = {budget.id: budget.counters[0] for budget in control.budgets(TENANT)}
        for tool, budget in BUDGETS.items():
            assert counted[budget].used + counted[budget].reserved == allowed[tool]
        assert counted["tickets"].used == sum(len(load.reported) for load in self.loads)
        assert allowed[COUPON.tool] <= COUPONS_MAX

    def decided(self) -> dict[str, tuple[str, str, str]]:
        """Return the decisions of the trail: decision_id -> tool, effect, rule_id."""
        rows = self._rows("SELECT decision_id, tool, effect, rule_id FROM audit_records WHERE kind = 'decision.made'")
        return {str(decision_id): (str(tool), str(effect), str(rule_id)) for decision_id, tool, effect, rule_id in rows}

    def revisions(self) -> dict[str, set[str]]:
        """Return by which policies each replica decided."""
        found: dict[str, set[str]] = {name: set() for name in NAMES}
        for writer, body in self._rows("SELECT writer, body FROM audit_records WHERE kind = 'decision.made'"):
            found[str(writer)].add(json.loads(bytes(body))["policy_revision"])
        return found

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(OWNER)) as connection:
            return connection.execute(sql.encode()).fetchall()

    def close(self) -> None:
        """End the replicas."""
        for server in self.replicas:
            if server.process.poll() is None:
                server.kill()


@contextlib.contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """Run the whole deployment for the duration of the block."""
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgres())
        deployment = Deployment(folder, database, stack.enter_context(Published(folder)))
        stack.callback(deployment.close)
        deployment.start()
        configure(
            folder / "envoy",
            deployment.certificates.folder,
            deployment.address,
            deployment.admin,
            deployment.replica_addresses,
        )
        deployment.envoy = stack.enter_context(balancing(folder / "envoy", deployment.admin))
        eventually(lambda: deployment.envoy.healthy() == len(NAMES), READY_SECONDS_MAX, "two healthy replicas")
        yield deployment
