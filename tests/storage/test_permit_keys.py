"""Keys that sign permits: made once, for their owner alone, rotated while they are used."""

from __future__ import annotations

import errno
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jwt
import pytest
from jwt import PyJWKSet

from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import PERMIT_KEY_OVERLAP_SECONDS, PERMIT_KEYS_LOOK_SECONDS
from placet.permits.claims import PERMIT_TYPE, jwk_set
from placet.signing.keys import create_private_key, load_private_key
from placet.signing.permit_keys import PermitKeyFolder, load_permit_keys, open_permit_keys, rotate_permit_key

if TYPE_CHECKING:
    from pathlib import Path

CLAIMS = b'{"jti":"dec_1"}'
T0 = 1_777_055_581


@dataclass
class SetClock:
    """A clock that a test sets, in whole seconds."""

    now: float = T0

    def wall_us(self) -> int:
        return int(self.now * 1_000_000)

    def monotonic(self) -> float:
        return self.now


@dataclass
class Server:
    """A folder of keys in use."""

    folder: Path
    clock: SetClock = field(default_factory=SetClock)
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = PermitKeyFolder(self.folder, self.clock, self.errors.append)

    def kid(self, decided_at: float | None = None) -> str:
        """Which key signs for a decision of that time, by default now; its permit verifies with what is published."""
        permit = self.keys.sign(CLAIMS, int((decided_at or self.clock.now) * 1_000_000))
        header = jwt.get_unverified_header(permit)
        published = PyJWKSet.from_json(jwk_set(self.keys.known()))
        assert jwt.PyJWS().decode(permit, published[header["kid"]].key, ["EdDSA"]) == CLAIMS
        assert (header["alg"], header["typ"]) == ("EdDSA", PERMIT_TYPE)
        return str(header["kid"])

    def kids(self) -> list[str]:
        return [key.key_id for key in self.keys.known()]

    def rotate(self, after_seconds: int = 60) -> str:
        return rotate_permit_key(self.folder, int(self.clock.now), after_seconds).key_id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys/permits"


@pytest.fixture
def server(folder: Path) -> Server:
    return Server(folder)


def test_made_once_for_the_owner_alone(server: Server) -> None:
    assert Server(server.folder).kids() == server.kids()
    [file] = server.folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert server.folder.stat().st_mode & 0o777 == 0o700
    assert len(server.kid()) == 16


def test_processes_that_start_together_agree_on_the_first_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one has another time, so that each would give its key another name."""

    def create_slowly(path: Path) -> None:
        time.sleep(0.05)
        create_private_key(path)

    monkeypatch.setattr("placet.signing.permit_keys.create_private_key", create_slowly)
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda second: open_permit_keys(folder, T0 + second), range(4)))
    assert len({tuple(key.public.key_id for key in keys) for keys in opened}) == 1
    [_] = folder.iterdir()


def test_a_folder_that_cannot_be_locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("placet.signing.permit_keys.fcntl.flock", refuse)
    with pytest.raises(ConfigurationError, match=r"cannot be locked \(No locks available\); .* `placet keys rotate"):
        Server(folder)
    rotate_permit_key(folder, T0, after_seconds=0)
    assert len(Server(folder).kids()) == 1


@pytest.mark.parametrize("claims", [CLAIMS, b"{}", '{"agent":"refund-ägent\U0001f600"}'.encode(), bytes(range(256))])
def test_a_permit_is_the_token_that_a_library_makes_to_the_byte(server: Server, claims: bytes) -> None:
    [path] = server.folder.iterdir()
    header = {"kid": server.kid(), "typ": PERMIT_TYPE}
    token = jwt.PyJWS().encode(claims, load_private_key(path), "EdDSA", header)
    assert server.keys.sign(claims, T0 * 1_000_000) == token


def test_the_same_claims_are_the_same_permit(server: Server) -> None:
    permits = {keys.sign(CLAIMS, T0 * 1_000_000) for keys in (server.keys, Server(server.folder).keys)}
    assert len(permits) == 1


def test_the_private_key_is_not_shown(server: Server) -> None:
    [key] = load_permit_keys(server.folder)
    assert "private" not in repr(key).lower()
    assert json.loads(jwk_set([key.public]))["keys"][0].keys() == {"alg", "crv", "kid", "kty", "use", "x"}


def test_a_new_key_is_published_then_signs_and_the_old_one_verifies_on(server: Server) -> None:
    old = server.kid()
    new = server.rotate(after_seconds=60)
    assert (server.kids(), server.kid()) == ([old], old), "not looked yet"
    server.clock.now += PERMIT_KEYS_LOOK_SECONDS
    assert (server.kids(), server.kid()) == ([old, new], old), "published before it signs"
    server.clock.now = T0 + 60
    assert (server.kids(), server.kid()) == ([old, new], new)
    server.clock.now = T0 + 60 + PERMIT_KEY_OVERLAP_SECONDS - 1
    assert server.kids() == [old, new]
    server.clock.now += 1
    assert (server.kids(), server.kid()) == ([new], new)
    assert not server.errors


def test_an_answer_given_again_after_a_rotation_has_the_same_permit(server: Server) -> None:
    old = server.kid()
    new = server.rotate(after_seconds=0)
    server.clock.now += PERMIT_KEYS_LOOK_SECONDS
    assert server.kid(T0 - 1) == old
    assert server.kid(T0 + 1) == new
    server.clock.now += 2 * PERMIT_KEY_OVERLAP_SECONDS
    assert server.kid(T0 - 1) == new, "that permit has expired long since"


def test_a_key_for_now_signs_although_another_one_waits(server: Server) -> None:
    old = server.kid()
    later = server.rotate(after_seconds=3_600)
    now = server.rotate(after_seconds=1)
    server.clock.now += PERMIT_KEYS_LOOK_SECONDS
    assert (server.kid(), server.kids()) == (now, [old, now, later])
    server.clock.now = T0 + 3_600
    assert server.kid() == later


def test_rotations_within_a_second_make_a_key_each(server: Server) -> None:
    made = [server.rotate(after_seconds=0) for _ in range(3)]
    assert [key.public.key_id for key in load_permit_keys(server.folder)] == [server.kid(), *made]
    assert [key.public.signs_from - T0 for key in load_permit_keys(server.folder)] == [0, 1, 2, 3]


def test_a_rotation_removes_what_verifies_nothing_any_longer(server: Server) -> None:
    server.rotate()
    assert len(load_permit_keys(server.folder)) == 2
    server.clock.now += 60 + PERMIT_KEY_OVERLAP_SECONDS
    server.rotate()
    assert len(load_permit_keys(server.folder)) == 2
    assert len(list(server.folder.iterdir())) == 2


def test_a_clock_that_was_set_back_signs_with_what_there_is(server: Server) -> None:
    old = server.kid()
    server.clock.now = T0 - 86_400
    assert server.kid() == old
    assert server.kids() == [old]


def test_a_new_key_that_others_can_read_is_told_of_and_not_used(server: Server) -> None:
    old = server.kid()
    server.rotate(after_seconds=0)
    newest = max(server.folder.iterdir())
    newest.chmod(0o644)
    server.clock.now += PERMIT_KEYS_LOOK_SECONDS
    assert (server.kid(), server.kids()) == (old, [old])
    [fault] = server.errors
    assert "chmod 600" in str(fault)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Server(server.folder)


def test_keys_that_are_gone_are_used_on(server: Server) -> None:
    old = server.kid()
    [file] = server.folder.iterdir()
    file.unlink()
    server.clock.now += PERMIT_KEYS_LOOK_SECONDS
    assert server.kid() == old


def test_a_key_whose_file_was_removed_is_no_longer_published(server: Server) -> None:
    [leaked] = server.folder.iterdir()
    new = server.rotate(after_seconds=0)
    leaked.unlink()
    server.clock.now += PERMIT_KEYS_LOOK_SECONDS
    assert server.kids() == [new]


def test_other_files_are_left_alone(server: Server) -> None:
    for name in (".draft.pem", "01.pem", "key.pem", "1.pem.bak", "README"):
        (server.folder / name).write_text("not a key")
    assert len(load_permit_keys(server.folder)) == 1


def test_a_file_that_is_no_key_stops_the_start(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "1777055581.pem").touch(mode=0o600)
    with pytest.raises(ConfigurationError, match="is no private key"):
        Server(folder)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(ConfigurationError, match="let Placet's user own"):
        Server(tmp_path / "keys/permits")


def test_looking_writes_nothing(folder: Path) -> None:
    assert load_permit_keys(folder) == []
    assert not folder.exists()
