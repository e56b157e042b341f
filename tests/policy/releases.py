"""Releases that tests publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placet.policy.bundles.bundle import Bundle
from placet.policy.bundles.release import make_release
from placet.policy.files.archive import pack
from placet.policy.files.tree import read_tree

if TYPE_CHECKING:
    from placet.policy.bundles.signatures import SigningKey

REGO_DIR = Path(__file__).parents[2] / "rego"


def small_release(version: int, key: SigningKey | None) -> bytes:
    """Return a release of the shipped files that names `version` as its revision. No server would serve it."""
    manifest = b'{"revision": "%d", "roots": [""]}' % version
    bundle = Bundle(Path("bundle.tar.gz"), str(version), {}, pack({"/.manifest": manifest}), read_tree(REGO_DIR))
    return make_release(bundle, "", 1_000 + version, key, "default")
