"""A bundle server in a process, its publisher, and an OPA that pulls from it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from placet.policy.bundles.bundle_files import put_bundle
from placet.policy.toolchain.binary import find_opa
from tests.faults.serving import START_SECONDS_MAX, environment, free_address, policy_copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "bundle.tar.gz"


def placet(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a `placet` command in the folder to its end, whatever it returns."""
    command = [sys.executable, "-m", "placet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, cwd=folder)


class Published:
    """A bundle server in a process, with the files that its publisher has. P-256 keys, so that OPA can pull too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rego_dir = policy_copy(folder)
        self.bundles = folder / "published"
        self.bundles.mkdir()
        self.token, self.key, self.public = folder / "token", folder / "key.pem", folder / "key.pub.pem"
        self.token.write_text("push-token\n")
        key = ec.generate_private_key(ec.SECP256R1())
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        address = free_address()
        self.site = f"http://{address}"
        self.url = f"{self.site}/{NAME}"
        self._created = 1_700_000_000
        self.process = subprocess.Popen(self.command(address), stderr=subprocess.PIPE, env=environment())
        assert self.process.stderr is not None
        assert b"serving" in self.process.stderr.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def command(self, address: str) -> list[str]:
        """The command that serves the bundles."""
        command = [sys.executable, "-m", "placet", "bundle-server", str(self.bundles), f"--listen={address}"]
        return [*command, f"--push-token-file={self.token}", f"--verification-key={self.public}"]

    def placet(self, *arguments: object) -> str:
        ran = placet(*arguments, folder=self.folder)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def bundle(self, comment: str) -> tuple[str, bytes]:
        """Build another revision. Returns its name and its bundle."""
        pack_file = self.rego_dir / "policy/refunds/refunds.rego"
        pack_file.write_text(f"{pack_file.read_text()}\n# {comment}\n")
        self._created += 1
        time_given = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._created))
        file = self.folder / f"{comment}.tar.gz"
        options = ["--rego-dir", self.rego_dir, "--signing-key", self.key, "--created-at", time_given]
        revision = self.placet("policy", "bundle", file, *options)
        return revision, file.read_bytes()

    def push(self, content: bytes) -> None:
        file = self.folder / "pushed.tar.gz"
        file.write_bytes(content)
        self.placet("policy", "push", file, self.url, "--token-file", self.token)

    def put(self, content: bytes) -> None:
        """Put bytes where the server serves them, past its checks."""
        put_bundle(self.bundles / NAME, content)

    def stop(self) -> None:
        """Stop the server."""
        self.process.terminate()
        self.process.communicate(timeout=START_SECONDS_MAX)


@contextlib.contextmanager
def pulling_opa(folder: Path, site: str, public: Path, token: Path | None = None) -> Iterator[str]:
    """Run an OPA that pulls NAME from the site, with long polling, and verifies it. Yields its address."""
    service: dict[str, Any] = {"url": site}
    if token is not None:
        service["credentials"] = {"bearer": {"token_path": str(token)}}
    with opa_with(folder, service, NAME, public, {"long_polling_timeout_seconds": 10}) as address:
        yield address


@contextlib.contextmanager
def opa_with(
    folder: Path, service: dict[str, Any], resource: str, public: Path, polling: dict[str, int]
) -> Iterator[str]:
    """Run an OPA that pulls a bundle and verifies it, with a log in the folder. Yields its address."""
    address = free_address()
    config: dict[str, Any] = {
        "services": {"policy": service},
        "keys": {"default": {"algorithm": "ES256", "key": public.read_text()}},
        "bundles": {
            "placet": {
                "service": "policy",
                "resource": resource,
                "signing": {"keyid": "default"},
                "polling": polling,
            }
        },
    }
    (folder / "opa.json").write_text(json.dumps(config))
    command = [str(find_opa().path), "run", "--server", f"--addr={address}", f"--config-file={folder / 'opa.json'}"]
    with (folder / "opa.log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield address
        finally:
            process.terminate()


def opa_revision(opa: str) -> str:
    """The revision that OPA serves; "" when it serves none."""
    try:
        with urllib.request.urlopen(f"http://{opa}/v1/data?provenance", timeout=10) as answer:
            bundles = json.load(answer).get("provenance", {}).get("bundles", {})
    except urllib.error.URLError:
        return ""
    return str(bundles.get("placet", {}).get("revision", ""))
