"""The Ed25519 keys that sign permits: private keys in a folder, each named by the second from which on it signs.

A new file is a new key: a server that runs sees it within PERMIT_KEYS_LOOK_SECONDS, publishes it, and signs with it
from its second on. The one before stays published for PERMIT_KEY_OVERLAP_SECONDS. Which key signs is told by when the
decision was made, so that an answer that is given again carries the same permit also after a rotation.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWS

from placet.kernel.disk_faults import remedy_for
from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import PERMIT_KEYS_LOOK_SECONDS
from placet.permits.claims import PERMIT_ALGORITHM, PERMIT_TYPE, PermitKey
from placet.signing.keys import create_private_key, key_id_of, load_private_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from placet.kernel.clock import Clock

_NAME: Final = re.compile(r"[1-9][0-9]{0,11}\.pem")
_SECOND_US: Final = 1_000_000
_JWS: Final = PyJWS(algorithms=[PERMIT_ALGORITHM])


@dataclass(frozen=True, slots=True)
class SigningPermitKey:
    """A key with its private half, which it never shows."""

    public: PermitKey
    _headers: Mapping[str, str] = field(repr=False)
    _key: Ed25519PrivateKey = field(repr=False)

    def sign(self, claims: bytes) -> str:
        """The token over these claims."""
        return _JWS.encode(claims, self._key, PERMIT_ALGORITHM, dict(self._headers))


class PermitKeyFolder:
    """Signs permits with the keys of a folder. Belongs to one event loop.

    `on_error` is told why a newer key cannot be used; the ones at hand are used on.
    """

    def __init__(self, folder: Path, clock: Clock, on_error: Callable[[BaseException], None]) -> None:
        """Makes the first key when there is none. ConfigurationError when a key cannot be made, read or trusted."""
        self._folder = folder
        self._clock = clock
        self._on_error = on_error
        self._keys = open_permit_keys(folder, clock.wall_us() // _SECOND_US)
        self._looked_at = clock.monotonic()

    def sign(self, claims: bytes, decided_at_us: int) -> str:
        """The permit over these claims, with the key that signs for decisions of that time."""
        return _signs_at(self._current(), decided_at_us // _SECOND_US).sign(claims)

    def known(self) -> Sequence[PermitKey]:
        """The keys that permits are verified with now, by `signs_from`."""
        return [key.public for key in self._current()]

    def _current(self) -> Sequence[SigningPermitKey]:
        moment = self._clock.monotonic()
        if moment - self._looked_at >= PERMIT_KEYS_LOOK_SECONDS:
            self._looked_at = moment
            try:
                self._keys = load_permit_keys(self._folder) or self._keys
            except ConfigurationError as fault:
                self._on_error(fault)
        now = self._clock.wall_us() // _SECOND_US
        return [key for key in self._keys if verifies_at(key.public, now)]


def open_permit_keys(folder: Path, now: int) -> Sequence[SigningPermitKey]:
    """The keys of the folder, the first one made when there is none.

    ConfigurationError. `now` in seconds since the epoch.
    """
    keys = load_permit_keys(folder)
    if keys:
        return keys
    _make(folder, now)
    return load_permit_keys(folder)


def load_permit_keys(folder: Path) -> Sequence[SigningPermitKey]:
    """The keys of the folder by `signs_from`, old ones too; none when there is no folder. ConfigurationError."""
    try:
        entries = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
        found = [(int(path.stem), load_private_key(path)) for path in sorted(entries, key=lambda path: int(path.stem))]
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: cannot be read ({error.strerror}); let Placet's user own its files"
        ) from error
    following = [*(signs_from for signs_from, _ in found[1:]), 0]
    return [_signing(*each, until) for each, until in zip(found, following, strict=False)]


def rotate_permit_key(folder: Path, now: int, after_seconds: int) -> PermitKey:
    """Make a key that signs so many seconds after `now`, and remove those that verify nothing now.

    ConfigurationError.
    """
    before = load_permit_keys(folder)
    taken = {key.public.signs_from for key in before}
    made = _make(folder, next(second for second in itertools.count(now + after_seconds) if second not in taken))
    for key in before:
        if not verifies_at(key.public, now):
            (folder / f"{key.public.signs_from}.pem").unlink(missing_ok=True)
    return next(key.public for key in load_permit_keys(folder) if key.public.signs_from == made)


def verifies_at(key: PermitKey, now: int) -> bool:
    """Whether permits are still verified with the key, or will be."""
    return now < (key.verifies_until or math.inf)


def _make(folder: Path, signs_from: int) -> int:
    path = folder / f"{signs_from}.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_private_key(path)
    except OSError as error:
        remedy = remedy_for(error, f"let Placet's user own {folder}")
        raise ConfigurationError(f"{path}: cannot be made ({error.strerror}); {remedy}") from error
    return signs_from


def _signing(signs_from: int, key: Ed25519PrivateKey, signs_until: int) -> SigningPermitKey:
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public = PermitKey(key_id_of(raw), raw, signs_from, signs_until)
    return SigningPermitKey(public, {"kid": public.key_id, "typ": PERMIT_TYPE}, key)


def _signs_at(keys: Sequence[SigningPermitKey], second: int) -> SigningPermitKey:
    """The newest that signs by then; before all of them the first."""
    begun = [key for key in keys if key.public.signs_from <= second]
    return begun[-1] if begun else keys[0]
