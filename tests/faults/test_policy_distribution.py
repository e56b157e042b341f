"""Policy on its way to two replicas: a bundle server, two servers, real OPA, and pushes good and bad."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from placet.policy.bundles.bundle_files import put_bundle
from placet.policy.bundles.signatures import SIGNATURES
from placet.policy.files.archive import pack, unpack
from placet.sdk import Action, Client, ControlClient, Identity
from tests.faults.serving import START_SECONDS_MAX, Server, environment, eventually, free_address, policy_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHANGE_SECONDS_MAX = 5.0
"""From the push to decisions of both replicas, on a machine that is not overloaded."""
CHECKS_AT_ONCE = 4
"""How many times longer a check may take while two replicas check: they share the cores with the test."""
READ = Action("jira.search", {"query": "x"})
AGENT = Identity(agent="triage-agent", tenant="acme")
NAME = "bundle.tar.gz"


class Published:
    """A bundle server in a process, with the files that its publisher has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rego_dir = policy_copy(folder)
        self.bundles = folder / "published"
        self.bundles.mkdir()
        self.token, self.key, self.public = folder / "token", folder / "key.pem", folder / "key.pub.pem"
        self.token.write_text("push-token\n")
        key = ed25519.Ed25519PrivateKey.generate()
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        address = free_address()
        self.url = f"http://{address}/{NAME}"
        self._created = 1_700_000_000
        self.build_seconds = 0.0
        command = [sys.executable, "-m", "placet", "bundle-server", str(self.bundles), f"--listen={address}"]
        command += [f"--push-token-file={self.token}", f"--verification-key={self.public}"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment())
        assert self.process.stderr is not None
        assert b"serving" in self.process.stderr.readline()

    def placet(self, *arguments: object) -> str:
        command = [sys.executable, "-m", "placet", *map(str, arguments)]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, cwd=self.folder)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def bundle(self, comment: str) -> tuple[str, bytes]:
        """Build another revision. Returns its name and its bundle."""
        pack_file = self.rego_dir / "policy/refunds/refunds.rego"
        pack_file.write_text(f"{pack_file.read_text()}\n# {comment}\n")
        self._created += 1
        began = time.monotonic()
        time_given = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._created))
        file = self.folder / f"{comment}.tar.gz"
        options = ["--rego-dir", self.rego_dir, "--signing-key", self.key, "--created-at", time_given]
        revision = self.placet("policy", "bundle", file, *options)
        self.build_seconds = time.monotonic() - began
        return revision, file.read_bytes()

    def push(self, content: bytes) -> None:
        file = self.folder / "pushed.tar.gz"
        file.write_bytes(content)
        self.placet("policy", "push", file, self.url, "--token-file", self.token)

    def put(self, content: bytes) -> None:
        """Put bytes where the server serves them, past its checks."""
        put_bundle(self.bundles / NAME, content)


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    it = Published(tmp_path)
    try:
        yield it
    finally:
        it.process.terminate()
        it.process.communicate(timeout=START_SECONDS_MAX)


def revision_of(server: Server) -> str:
    """The revision by which the server decides now."""
    with Client(server.address, timeout=10) as client:
        return client.authorize(READ, AGENT).policy_revision


def refusals(replicas: list[Server]) -> list[int]:
    """How many policies each replica has refused."""
    return [len(server.events("policy refused")) for server in replicas]


def all_refused_since(replicas: list[Server], before: list[int]) -> bool:
    return all(now > then for now, then in zip(refusals(replicas), before, strict=True))


def _corrupt(content: bytes) -> bytes:
    files = unpack(content)
    return pack(files | {"/source.tar.gz": files["/source.tar.gz"][:-1] + b"x"})


def _unsigned(content: bytes) -> bytes:
    files = unpack(content)
    del files[SIGNATURES]
    return pack(files)


@pytest.mark.timeout(400)
def test_a_push_reaches_two_replicas_and_nothing_else_does(
    published: Published, postgres_url: str, tmp_path: Path
) -> None:
    first, old = published.bundle("first")
    published.push(old)
    with contextlib.ExitStack() as stack:
        replicas: list[Server] = []
        for name in ("one", "two"):
            flags: dict[str, Any] = {"policy_url": published.url, "policy_verification_key": published.public}
            server = Server(
                tmp_path / name,
                tmp_path / "none",
                database_url=postgres_url,
                replica_id=name,
                opa_timeout_ms=5_000,
                **flags,
            )
            stack.callback(server.kill)
            replicas.append(server)
        for server in replicas:
            server.wait_until_ready()
        assert [revision_of(server) for server in replicas] == [first, first]

        second, content = published.bundle("second")
        began = time.monotonic()
        published.push(content)
        eventually(lambda: all(revision_of(server) == second for server in replicas), START_SECONDS_MAX)
        took = time.monotonic() - began
        assert took < max(CHANGE_SECONDS_MAX, CHECKS_AT_ONCE * published.build_seconds)

        _, third = published.bundle("third")
        spoilt: list[Callable[[bytes], bytes]] = [_corrupt, _unsigned, lambda content: content[: len(content) // 2]]
        for spoil in spoilt:
            before = refusals(replicas)
            published.put(spoil(third))
            eventually(partial(all_refused_since, replicas, before), START_SECONDS_MAX)
            assert [revision_of(server) for server in replicas] == [second, second]

        published.put(old)
        eventually(lambda: all(server.status().held_revision == first for server in replicas), START_SECONDS_MAX)
        assert [revision_of(server) for server in replicas] == [second, second]
        with ControlClient(replicas[0].address, timeout=60) as control:
            control.confirm_policy(first, actor="ann", reason="the new limits block refunds")
        eventually(lambda: all(revision_of(server) == first for server in replicas), START_SECONDS_MAX)
        for server in replicas:
            assert len(server.events("policy held")) == 1
            assert server.stop() == 0
