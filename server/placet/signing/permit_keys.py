"""The Ed25519 keys that sign permits: private keys in a folder.

The file name is the Unix second from which a key signs.

A new file is a new key. A running server finds it within PERMIT_KEYS_LOOK_SECONDS, publishes it, and signs with it from
its second on. The previous key stays published for PERMIT_KEY_OVERLAP_SECONDS. The time of the decision selects the
key, so a repeated answer carries the same permit after a rotation.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from typing import TYPE_CHECKING, Final

from placet.kernel.disk_errors import remedy_for
from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import PERMIT_KEYS_LOOK_SECONDS
from placet.permits.schedule import ends_of, free_second, signs_at, verifies_at
from placet.signing.keys import create_private_key, load_private_key
from placet.signing.permit_signer import permit_signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from placet.kernel.clock import Clock
    from placet.permits.claims import PermitKey
    from placet.signing.permit_signer import SigningPermitKey

_NAME: Final = re.compile(r"[1-9][0-9]{0,11}\.pem")
_SECOND_US: Final = 1_000_000


class PermitKeyFolder:
    """Signs permits with the keys of a folder. Belongs to one event loop.

    `on_error` receives the reason why newer keys cannot be used. Then the loaded keys stay in use.
    """

    def __init__(
        self, folder: Path, clock: Clock, on_error: Callable[[BaseException], None], *, mounted: bool = False
    ) -> None:
        """Create the first key when there is none, unless the folder is `mounted`: then Placet only reads it.

        Raises ConfigurationError when a key cannot be created, read or trusted.
        """
        self._folder = folder
        self._clock = clock
        self._on_error = on_error
        self._mounted = mounted
        self._keys = mounted_permit_keys(folder) if mounted else open_permit_keys(folder, clock.wall_us() // _SECOND_US)
        self._looked_at = clock.monotonic()

    def sign(self, claims: bytes, decided_at_us: int) -> str:
        """Return the permit of these claims, signed with the key for decisions of that time."""
        return signs_at(self._current(), decided_at_us // _SECOND_US).sign(claims)

    def known(self) -> Sequence[PermitKey]:
        """Return the public keys that verify permits now, by `signs_from`."""
        return [key.public for key in self._current()]

    def require_usable(self) -> None:
        """Do nothing: the keys that were loaded stay in use."""

    def _current(self) -> Sequence[SigningPermitKey]:
        monotonic = self._clock.monotonic()
        if monotonic - self._looked_at >= PERMIT_KEYS_LOOK_SECONDS:
            self._looked_at = monotonic
            try:
                self._keys = load_permit_keys(self._folder, mounted=self._mounted) or self._keys
            except ConfigurationError as error:
                self._on_error(error)
        now = self._clock.wall_us() // _SECOND_US
        return [key for key in self._keys if verifies_at(key.public, now)]


def open_permit_keys(folder: Path, now: int) -> Sequence[SigningPermitKey]:
    """Return the keys of the folder; create the first one when there is none. `now` is in seconds since the epoch.

    Processes that share the folder, such as the workers of a server, agree on one first key. Raises ConfigurationError.
    """
    keys = load_permit_keys(folder)
    if keys:
        return keys
    with _alone(folder):
        if not load_permit_keys(folder):
            _create(folder, now)
    return load_permit_keys(folder)


def mounted_permit_keys(folder: Path) -> Sequence[SigningPermitKey]:
    """Return the keys of a folder that others write, such as a mounted secret. Raises ConfigurationError."""
    keys = load_permit_keys(folder, mounted=True)
    if not keys:
        raise ConfigurationError(
            f"permit_keys_dir: {folder} has no keys; each is a file named by the second from which it signs: `openssl "
            "genpkey -algorithm ed25519 -out $(date +%s).pem`"
        )
    return keys


def load_permit_keys(folder: Path, *, mounted: bool = False) -> Sequence[SigningPermitKey]:
    """Return the keys of the folder by `signs_from`, including old ones; none when there is no folder.

    The group may read the keys of a `mounted` folder. Raises ConfigurationError.
    """
    try:
        entries = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
        private_keys = [
            (int(path.stem), load_private_key(path, group_reads=mounted))
            for path in sorted(entries, key=lambda path: int(path.stem))
        ]
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: cannot be read ({error.strerror}); let Placet's user own its files"
        ) from error
    ends = ends_of([signs_from for signs_from, _ in private_keys])
    return [permit_signer(key, signs_from, until) for (signs_from, key), until in zip(private_keys, ends, strict=True)]


def rotate_permit_key(folder: Path, now: int, after_seconds: int) -> PermitKey:
    """Create a key that signs from `after_seconds` after `now`, and remove keys that verify nothing any more.

    Raises ConfigurationError.
    """
    before = load_permit_keys(folder)
    taken = {key.public.signs_from for key in before}
    signs_from = _create(folder, free_second(now + after_seconds, taken))
    for key in before:
        if not verifies_at(key.public, now):
            (folder / f"{key.public.signs_from}.pem").unlink(missing_ok=True)
    return next(key.public for key in load_permit_keys(folder) if key.public.signs_from == signs_from)


def withdraw_permit_keys(folder: Path, keys: Sequence[PermitKey]) -> None:
    """Remove keys that others may have read. Running servers refuse their permits within PERMIT_KEYS_LOOK_SECONDS.

    Raises ConfigurationError.
    """
    try:
        for key in keys:
            (folder / f"{key.signs_from}.pem").unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename}: cannot be removed ({error.strerror}); let Placet's user own {folder}"
        ) from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the folder against other processes for the duration of the block. Creates the folder."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ConfigurationError(_cannot_make(folder, error, folder)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        os.close(descriptor)
        remedy = "create the first key with `placet keys rotate --after 0`"
        raise ConfigurationError(f"{folder}: cannot be locked ({error.strerror}); {remedy}") from error
    try:
        yield
    finally:
        os.close(descriptor)  # which also unlocks it


def _cannot_make(path: Path, error: OSError, folder: Path) -> str:
    remedy = remedy_for(error, f"let Placet's user own {folder}")
    return f"{path}: cannot be made ({error.strerror}); {remedy}"


def _create(folder: Path, signs_from: int) -> int:
    path = folder / f"{signs_from}.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_private_key(path)
    except OSError as error:
        raise ConfigurationError(_cannot_make(path, error, folder)) from error
    return signs_from
