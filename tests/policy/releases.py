"""Releases that tests publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placet.policy.bundles.bundle import Bundle
from placet.policy.bundles.release import SOURCE, make_release
from placet.policy.bundles.signatures import SIGNATURES, signatures_of
from placet.policy.files.archive import pack, unpack
from placet.policy.files.tree import read_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.policy.bundles.signatures import SigningKey

REGO_DIR = Path(__file__).parents[2] / "rego"


def small_release(version: int, key: SigningKey | None) -> bytes:
    """Return a release of the shipped files that names `version` as its revision. No server would serve it."""
    manifest = b'{"revision": "%d", "roots": [""]}' % version
    bundle = Bundle(Path("bundle.tar.gz"), str(version), {}, pack({"/.manifest": manifest}), read_tree(REGO_DIR))
    return make_release(bundle, "", 1_000 + version, key, "default")


def unsigned(release: bytes) -> bytes:
    """Return the release without its signature."""
    files = unpack(release)
    del files[SIGNATURES]
    return pack(files)


def signed_again(files: Mapping[str, bytes], key: SigningKey) -> bytes:
    """Return the release of changed files, with a signature of them as they are now."""
    changed = {name: content for name, content in files.items() if name != SIGNATURES}
    return pack(changed | {SIGNATURES: signatures_of(changed, key, "default")})


def damaged(release: bytes) -> bytes:
    """Return the release with one byte of its source changed, and with its signature as it was."""
    files = unpack(release)
    return pack(files | {SOURCE: files[SOURCE][:-1] + b"x"})
