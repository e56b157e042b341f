"""The file of a unix socket, without a server: two that start at once, and failures half-way."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import ConfigurationError
from placet.transport.grpc.unix_socket import UnixSocket, require_free_socket

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="placet-us-") as folder:
        yield Path(folder) / "p.sock"


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        yield listener


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def test_the_file_never_has_other_rights_and_no_other_name_is_left(path: Path, bound: socket.socket) -> None:
    seen: list[int] = []

    def bind(draft: str) -> None:
        bound.bind(draft)
        bound.listen()
        seen.append(Path(draft).stat().st_mode & 0o777)
        assert not path.exists()

    before = os.umask(0)
    try:
        made = UnixSocket.listen(path, 0o660, bind)
        assert os.umask(0) == 0, "the umask is as before"
    finally:
        os.umask(before)
    assert seen[0] & 0o077 == 0
    assert path.stat().st_mode & 0o777 == 0o660
    assert names(path) == ["p.sock", "p.sock.lock"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    made.close()
    assert names(path) == ["p.sock.lock"]


def test_of_two_that_start_at_once_one_is_refused(path: Path, bound: socket.socket) -> None:
    def bind(draft: str) -> None:
        with pytest.raises(ConfigurationError, match="another server listens there"):
            UnixSocket.listen(path, 0o600, bound.bind)
        bound.bind(draft)

    made = UnixSocket.listen(path, 0o600, bind)
    made.close()
    with socket.socket(socket.AF_UNIX) as other:
        UnixSocket.listen(path, 0o600, other.bind).close()
    assert names(path) == ["p.sock.lock"]


def test_a_failure_leaves_nothing_locked(path: Path, bound: socket.socket) -> None:
    def bind(draft: str) -> None:
        bound.bind(draft)
        raise RuntimeError("gRPC could not listen")

    with pytest.raises(ConfigurationError, match=f"cannot listen on unix:{path}: .*--listen"):
        UnixSocket.listen(path, 0o600, bind)
    assert names(path) == ["p.sock.lock"]
    with socket.socket(socket.AF_UNIX) as other:
        UnixSocket.listen(path, 0o600, other.bind).close()


def test_a_file_of_others_is_not_removed(path: Path, bound: socket.socket) -> None:
    made = UnixSocket.listen(path, 0o600, bound.bind)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        made.close()
        assert path.is_socket()
    require_free_socket(path)  # nobody listens on it any more


def test_a_socket_that_somebody_listens_on_is_left_alone(path: Path, bound: socket.socket) -> None:
    bound.bind(str(path))
    bound.listen(0)
    with pytest.raises(ConfigurationError, match="another program listens there; stop it"):
        UnixSocket.listen(path, 0o600, lambda _draft: pytest.fail("not asked to bind"))
    assert path.is_socket()


def test_a_link_at_the_name_of_the_lock_is_not_followed(path: Path) -> None:
    target = path.parent / "elsewhere"
    path.with_name("p.sock.lock").symlink_to(target)
    with pytest.raises(ConfigurationError, match=r"p\.sock\.lock: "):
        UnixSocket.listen(path, 0o600, lambda _draft: pytest.fail("not asked to bind"))
    assert not target.exists()
