"""A release: a bundle as it is distributed.

It holds what OPA loads, so an external OPA can pull it, and the files that it was built from, so that a Placet with
a managed OPA checks and builds it again. Its manifest says what must be known before that: the format, the version of
OPA, when it was created, and the git commit. A signature covers all of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.errors import Diagnostic, PolicyInvalidError, PolicyUnreadableError
from placet.policy.bundles.bundle import BUNDLE_FORMAT
from placet.policy.bundles.signatures import SIGNATURES, SignatureError, signatures_of, verify
from placet.policy.files.archive import ArchiveError, pack, unpack
from placet.policy.files.tree import tree_of
from placet.policy.toolchain.binary import opa_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.policy.bundles.bundle import Bundle
    from placet.policy.bundles.signatures import SigningKey, VerificationKey
    from placet.policy.files.tree import PolicyTree

RELEASE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Largest release that is read or served. 10,000 tenants are 20 MB."""
RELEASE_FORMAT: Final = 1
MANIFEST: Final = "/.manifest"
SOURCE: Final = "/source.tar.gz"
"""The files of the policy folder without tests. OPA does not read it."""
METADATA: Final = "placet"
ROOT: Final = Path("bundle")
"""What problems in the files of a release name as their folder."""
_REBUILD: Final = "build it with `placet policy bundle`"
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Release:
    """What a release says of itself, and the policy in it."""

    revision: str
    created_at_us: int  # 0 when it does not say
    git_commit: str
    tree: PolicyTree
    loaded: Mapping[str, bytes]
    """The files that OPA loads, by name."""

    def require_revision(self, bundle: Bundle) -> None:
        """Raise PolicyInvalidError unless its files give the revision that it names. `bundle` was built from them."""
        if bundle.revision != self.revision:
            what = f"names the revision {self.revision}, but its files give {bundle.revision}"
            raise PolicyInvalidError([_problem(what, _REBUILD)])

    def require_loaded(self, bundle: Bundle) -> None:
        """Raise PolicyInvalidError unless the files that OPA loads are those of the bundle."""
        built = _loaded(unpack(bundle.content))
        if different := sorted(
            name for name in built.keys() | self.loaded.keys() if built.get(name) != self.loaded.get(name)
        ):
            what = f"has for OPA other files than were built from its source: {', '.join(different[:3])}"
            raise PolicyInvalidError([_problem(what, _REBUILD)])


def make_release(
    bundle: Bundle, git_commit: str, created_at_seconds: int, key: SigningKey | None = None, key_id: str = ""
) -> bytes:
    """Return the release of a bundle that was built from files. The same arguments give the same bytes.

    `created_at_seconds` are seconds since the epoch; 0 leaves the time out. Without a key it is not signed.
    """
    if bundle.tree is None:
        raise AssertionError("a release needs the files that the bundle was built from")
    files = unpack(bundle.content)
    metadata: dict[str, Any] = {
        "release_format": RELEASE_FORMAT,
        "bundle_format": BUNDLE_FORMAT.decode(),
        "opa_version": opa_version(),
    }
    if created_at_seconds:
        metadata["created_at"] = datetime.fromtimestamp(created_at_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if git_commit:
        metadata["git_commit"] = git_commit
    files[MANIFEST] = json.dumps(json.loads(files[MANIFEST]) | {"metadata": {METADATA: metadata}}).encode()
    files[SOURCE] = pack(bundle.tree.deciding)
    if key is not None:
        files[SIGNATURES] = signatures_of(files, key, key_id)
    return pack(files)


def read_release(content: bytes, keys: Sequence[VerificationKey]) -> Release:
    """Return the release in the bytes. With keys, one of them must have signed it.

    Raises PolicyUnreadableError when the bytes are damaged or not signed by a key, so that it is unknown what was
    published, and PolicyInvalidError when another version of Placet is needed. The policy in it is not checked.
    """
    if len(content) > RELEASE_BYTES_MAX:
        raise _unreadable(f"is larger than {RELEASE_BYTES_MAX} bytes")
    try:
        files = unpack(content)
        if keys:
            verify(files, keys)
        manifest = json.loads(files[MANIFEST])
        revision, metadata = str(manifest["revision"]), manifest["metadata"][METADATA]
    except (ArchiveError, SignatureError) as error:
        raise _unreadable(str(error)) from error
    except (KeyError, TypeError, ValueError, RecursionError):
        raise _unreadable("was not written by `placet policy bundle`") from None
    _require_version(metadata)
    try:
        created_at_us = _created_at_us(metadata)
        source = unpack(files[SOURCE])
    except (KeyError, ValueError) as error:
        raise _unreadable(f"holds no policy that can be read: {error}") from error
    if keys and not created_at_us:
        raise PolicyInvalidError([_problem("does not say when it was created", "build it with --signing-key")])
    commit = str(metadata.get("git_commit", ""))
    return Release(revision, created_at_us, commit, tree_of(ROOT, source), _loaded(files))


def _loaded(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return {name: content for name, content in files.items() if name not in {MANIFEST, SOURCE, SIGNATURES}}


def _require_version(metadata: Any) -> None:  # noqa: ANN401 - any JSON
    """Raise PolicyInvalidError unless this version of Placet serves such releases."""
    expected = {
        "release_format": RELEASE_FORMAT,
        "bundle_format": BUNDLE_FORMAT.decode(),
        "opa_version": opa_version(),
    }
    for name, value in expected.items():
        found = metadata.get(name) if isinstance(metadata, dict) else None
        if found != value:
            what = f"has the {name} {found!r}, but this version of Placet serves {value!r}"
            raise PolicyInvalidError([_problem(what, "build it with the version of Placet that serves it")])


def _created_at_us(metadata: dict[str, Any]) -> int:
    text = metadata.get("created_at")
    if text is None:
        return 0
    created = datetime.fromisoformat(str(text))
    if created.tzinfo is None:
        raise ValueError("created_at has no time zone")
    return round(created.timestamp()) * _SECOND_US


def _problem(what: str, remedy: str = "") -> Diagnostic:
    return Diagnostic("the bundle", what, remedy)


def _unreadable(what: str) -> PolicyUnreadableError:
    return PolicyUnreadableError([_problem(what)])
