"""Who published a bundle: noted beside its file by the server that took it, and sent with the bundle in a header."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import PRINCIPAL_BYTES_MAX
from placet.policy.bundles.bundle_files import put_bundle
from placet.revisions.pushed import UNKNOWN_PUSHER, Pusher

if TYPE_CHECKING:
    from pathlib import Path

PUSHED_BY: Final = "Placet-Pushed-By"
"""Name of the header: a JSON object in ASCII, with `caller` and `person`."""
_SHA256: Final = "sha256"
_BYTES_MAX: Final = 65_536


def header_of(pusher: Pusher) -> str:
    """Return the value of the header."""
    return json.dumps(asdict(pusher))


def pusher_of(header: str) -> Pusher:
    """Return who published a bundle. UNKNOWN_PUSHER for a value that cannot be read."""
    try:
        return _pusher(json.loads(header) if header else {})
    except (ValueError, RecursionError):
        return UNKNOWN_PUSHER


def note_push(bundle: Path, digest: str, pusher: Pusher) -> None:
    """Note who publishes the content with this SHA-256 as the bundle, if anybody is known.

    Call it before the content is there. The first publisher of this content stays noted when it is pushed again. Raises
    OSError.
    """
    if pusher.name and _noted(bundle).get(_SHA256) != digest:
        put_bundle(_note(bundle), json.dumps({_SHA256: digest, **asdict(pusher)}).encode())


def noted_push(bundle: Path, digest: str) -> Pusher:
    """Return who published the content with this SHA-256 as the bundle."""
    noted = _noted(bundle)
    return _pusher(noted) if noted.get(_SHA256) == digest else UNKNOWN_PUSHER


def _note(bundle: Path) -> Path:
    """Return the file of the note. Its name begins with a dot, so that it is not served."""
    return bundle.with_name(f".{bundle.name}.pushed.json")


def _noted(bundle: Path) -> dict[str, object]:
    try:
        with _note(bundle).open("rb") as file:
            document = json.loads(file.read(_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _pusher(document: object) -> Pusher:
    """Return the publisher that a document names; UNKNOWN_PUSHER when it names none."""
    if not isinstance(document, dict):
        return UNKNOWN_PUSHER
    try:
        return Pusher(_name(document.get("caller", "")), _name(document.get("person", "")))
    except ValueError:
        return UNKNOWN_PUSHER


def _name(value: object) -> str:
    """Return a name. Raises ValueError for what cannot be one."""
    if not isinstance(value, str) or len(value.encode()) > PRINCIPAL_BYTES_MAX or not value.isprintable():
        raise ValueError("not a name")
    return value
