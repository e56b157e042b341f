"""An OPA that pulls its own bundle from `placet bundle-server`: real processes, a signature, a token, long polling."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from placet.policy.bundles.bundle_files import put_bundle
from tests.faults.distribution import NAME, opa_revision, pulling_opa
from tests.faults.serving import START_SECONDS_MAX, environment, eventually, free_address
from tests.policy.releases import small_release
from tests.policy.test_release import write_public

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = ec.generate_private_key(ec.SECP256R1())


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
    public = write_public(KEY, tmp_path / "key.pub.pem")
    with pulling_opa(tmp_path, site, public, tmp_path / "token") as address:
        yield address


def test_it_serves_what_was_signed_and_nothing_else(opa: str, tmp_path: Path) -> None:
    put_bundle(tmp_path / NAME, small_release(1, KEY))
    eventually(lambda: opa_revision(opa) == "1", START_SECONDS_MAX)
    put_bundle(tmp_path / NAME, small_release(2, None))
    log = tmp_path / "opa.log"
    eventually(lambda: "bundle missing .signatures.json file" in log.read_text(), START_SECONDS_MAX)
    assert opa_revision(opa) == "1"
    put_bundle(tmp_path / NAME, small_release(3, KEY))
    eventually(lambda: opa_revision(opa) == "3", START_SECONDS_MAX)
