"""An OPA that pulls its own bundle from `placet bundle-server`: real processes, a signature, a token, long polling."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from placet.policy.bundles.bundle_files import put_bundle
from placet.policy.toolchain.binary import find_opa
from tests.faults.serving import START_SECONDS_MAX, environment, eventually, free_address
from tests.policy.releases import small_release
from tests.policy.test_release import write_public

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = "bundle.tar.gz"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the bundles of `tmp_path`, which needs a token."""
    (tmp_path / "token").write_text("pull-token")
    address = free_address()
    command = [sys.executable, "-m", "placet", "bundle-server", str(tmp_path), f"--listen={address}"]
    command.append(f"--pull-token-file={tmp_path / 'token'}")
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stderr is not None
        assert b"serving" in process.stderr.readline()
        yield f"http://{address}"
        process.terminate()


@pytest.fixture
def opa(site: str, tmp_path: Path) -> Iterator[str]:
    """The address of an OPA that pulls from the site."""
    address = free_address()
    public = write_public(KEY, tmp_path / "key.pub.pem").read_text()
    config: dict[str, Any] = {
        "services": {"policy": {"url": site, "credentials": {"bearer": {"token_path": str(tmp_path / "token")}}}},
        "keys": {"default": {"algorithm": "ES256", "key": public}},
        "bundles": {
            "placet": {
                "service": "policy",
                "resource": NAME,
                "signing": {"keyid": "default"},
                "polling": {"long_polling_timeout_seconds": 10},
            }
        },
    }
    (tmp_path / "opa.json").write_text(json.dumps(config))
    command = [str(find_opa().path), "run", "--server", f"--addr={address}", f"--config-file={tmp_path / 'opa.json'}"]
    with (tmp_path / "opa.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        yield address
        process.terminate()


def revision_of(opa: str) -> str:
    """The revision that OPA serves; "" when it serves none."""
    try:
        with urllib.request.urlopen(f"http://{opa}/v1/data?provenance", timeout=10) as answer:
            bundles = json.load(answer).get("provenance", {}).get("bundles", {})
    except urllib.error.URLError:
        return ""
    return str(bundles.get("placet", {}).get("revision", ""))


def test_it_serves_what_was_signed_and_nothing_else(opa: str, tmp_path: Path) -> None:
    put_bundle(tmp_path / NAME, small_release(1, KEY))
    eventually(lambda: revision_of(opa) == "1", START_SECONDS_MAX)
    put_bundle(tmp_path / NAME, small_release(2, None))
    log = tmp_path / "opa.log"
    eventually(lambda: "bundle missing .signatures.json file" in log.read_text(), START_SECONDS_MAX)
    assert revision_of(opa) == "1"
    put_bundle(tmp_path / NAME, small_release(3, KEY))
    eventually(lambda: revision_of(opa) == "3", START_SECONDS_MAX)
