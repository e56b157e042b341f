"""`placet policy push` and `placet bundle-server`: what they publish, and what they refuse to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from placet.cli.rendering import exit_codes
from tests.policy.releases import small_release
from tests.policy.test_release import write_public

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet

KEY = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    file = tmp_path / "bundle.tar.gz"
    file.write_bytes(small_release(7, KEY))
    return file


def test_push_to_a_folder(placet: Placet, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / bundle.name).write_bytes(b"old")
    key = write_public(KEY, tmp_path / "key.pub.pem")
    ran = placet("policy", "push", bundle, folder, "--verification-key", key)
    assert (ran.code, ran.out.strip()) == (exit_codes.OK, "7")
    assert [path.name for path in folder.iterdir()] == [bundle.name]
    assert (folder / bundle.name).read_bytes() == bundle.read_bytes()


def test_what_is_not_pushed(placet: Placet, bundle: Path, tmp_path: Path) -> None:
    other = write_public(ed25519.Ed25519PrivateKey.generate(), tmp_path / "other.pem")
    half = tmp_path / "half.tar.gz"
    half.write_bytes(bundle.read_bytes()[:-100])
    folder = tmp_path / "published"
    assert "no such folder" in placet("policy", "push", bundle, folder).err
    folder.mkdir()
    assert "none of the trusted keys" in placet("policy", "push", bundle, folder, "--verification-key", other).err
    assert "is not a tar.gz" in placet("policy", "push", half, folder).err
    ran = placet("policy", "push", bundle, "http://10.0.0.1/bundle.tar.gz")
    assert (ran.code, "must be https://" in ran.err) == (exit_codes.USAGE, True)
    ran = placet("policy", "push", bundle, "http://127.0.0.1:1/bundle.tar.gz")
    assert (ran.code, "cannot be reached" in ran.err) == (exit_codes.NO_DECISION, True)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--listen", "0.0.0.0:0"], "is reachable from other machines"),
        (["--listen", "0.0.0.0:0", "--tls-terminated"], "is reachable from other machines"),
        (["--listen", "nowhere"], "must be host:port"),
        (["--tls-cert-file", "tls.crt"], "belong together"),
        (["--push-token-file", "none"], "none: cannot be read"),
    ],
)
def test_a_bundle_server_that_does_not_start(placet: Placet, tmp_path: Path, options: list[str], why: str) -> None:
    ran = placet("bundle-server", tmp_path, *options)
    assert (ran.code, why in ran.err) == (exit_codes.USAGE, True), ran.err
