"""A server on a unix socket: who connects, what a killed server leaves behind, and who else may not listen there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from placet.cli.rendering import exit_codes
from placet.sdk import Action, AsyncClient, CallFailedError, Client, Effect, Identity
from tests.faults.command import placet
from tests.faults.serving import Server, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACTION: Final = Action("jira.search")
IDENTITY: Final = Identity("support-agent", "acme", user="u_1")
CONNECT: Final = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
UNPRIVILEGED: Final = 65_534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="placet-us-") as name:
        made = Path(name)
        made.chmod(0o755)
        yield made


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def may_connect(path: Path, group: int) -> bool:
    """Return whether a user without rights, in the group, may connect."""
    identity = [f"--reuid={UNPRIVILEGED}", f"--regid={group}", "--clear-groups"]
    command = ["setpriv", *identity, sys.executable, "-c", CONNECT, str(path)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=30)
    assert not done.returncode or "PermissionError" in done.stderr, done.stderr
    return not done.returncode


async def test_every_client_reaches_it_and_a_stop_removes_it(serve: Callable[..., Server], folder: Path) -> None:
    path = folder / "p.sock"
    server = serve(listen=f"unix://{path}")
    assert server.address == f"unix:{path}"
    assert path.stat().st_mode & 0o777 == 0o600
    for address in (f"unix:{path}", f"unix://{path}"):
        with Client(address) as client:
            assert client.authorize(ACTION, IDENTITY).effect is Effect.ALLOW
        async with AsyncClient(address, transport="stream") as streaming:
            assert (await streaming.authorize(ACTION, IDENTITY)).effect is Effect.ALLOW
        assert placet("health", "--address", address).stdout == "SERVING\n"
        assert placet("approvals", "list", "--tenant", "acme", "--address", address).returncode == 0
    told = placet("doctor", "--listen", f"unix:{path}", "--data-dir", server.data_dir, "--rego-dir", server.rego_dir)
    assert told.returncode == 0, told.stdout
    assert f"server          ok     unix:{path}" in told.stdout
    assert server.stop() == 0
    assert names(folder) == ["p.sock.lock"]
    gone = placet("health", "--address", f"unix:{path}")
    assert (gone.returncode, f"the socket {path}" in gone.stderr or "No such file" in gone.stderr) == (5, True)


def test_a_killed_server_leaves_a_file_that_the_next_one_takes_over(serve: Callable[..., Server], folder: Path) -> None:
    path = folder / "p.sock"
    first = serve(listen=f"unix:{path}")
    with Client(f"unix:{path}", timeout=30) as client:
        assert client.authorize(ACTION, IDENTITY).effect is Effect.ALLOW
        first.kill()
        assert path.is_socket()
        second = serve(listen=f"unix:{path}")
        assert client.authorize(ACTION, IDENTITY).effect is Effect.ALLOW, "the connection is made again"
    assert second.stop() == 0
    assert not path.exists()


def test_nobody_else_listens_where_a_server_does(
    serve: Callable[..., Server], folder: Path, tmp_path: Path, rego_dir: Path
) -> None:
    path = folder / "p.sock"
    server = serve(listen=f"unix:{path}")
    for address in (f"unix:{path}", f"unix:{folder}/nowhere/p.sock", f"unix:{server.data_dir}/serve.json"):
        code, said = refused(tmp_path / "other", rego_dir, listen=address)
        assert code == exit_codes.USAGE, said
        assert f"cannot listen on {address}: " in said[-1]
        assert "--listen" in said[-1]
    assert (server.data_dir / "serve.json").is_file(), "a file that is no socket is left alone"
    with Client(f"unix:{path}") as client:
        assert client.authorize(ACTION, IDENTITY).effect is Effect.ALLOW


@pytest.mark.parametrize(
    ("mode", "expected"), [("0600", (False, False)), ("0660", (True, False)), ("0666", (True, True))]
)
def test_the_rights_of_the_file_say_who_connects(
    serve: Callable[..., Server], folder: Path, mode: str, expected: tuple[bool, bool]
) -> None:
    """A folder with the setgid bit gives the socket its group."""
    group = 54_321
    os.chown(folder, -1, group)
    folder.chmod(0o2755)
    server = serve(listen=f"unix:{folder}/p.sock", listen_socket_mode=mode)
    path = folder / "p.sock"
    assert (path.stat().st_gid, oct(path.stat().st_mode & 0o777)) == (group, oct(int(mode, 8)))
    assert (may_connect(path, group), may_connect(path, UNPRIVILEGED)) == expected
    assert server.stop() == 0


def test_tokens_prove_callers_as_on_a_port(
    serve: Callable[..., Server], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable with the CAs of another server does not matter: the socket is not encrypted."""
    auth_file = tmp_path / "auth.toml"
    auth_file.write_text('accept = ["token"]\n')
    scope = ["--role", "agent_runtime", "--tenant", "acme", "--agent", "support-*", "--user", "trusted"]
    created = placet("tokens", "create", "runtime", *scope, "--data-dir", tmp_path / "data")
    assert created.returncode == 0, created.stderr
    server = serve(listen=f"unix:{folder}/p.sock", auth_file=auth_file)
    monkeypatch.setenv("PLACET_TLS_CA_FILE", str(tmp_path / "none.crt"))
    with Client(server.address, token=created.stdout.strip()) as client:
        assert client.authorize(ACTION, IDENTITY).effect is Effect.ALLOW
    with Client(server.address) as stranger, pytest.raises(CallFailedError) as caught:
        stranger.authorize(ACTION, IDENTITY, on_failure="raise")
    assert caught.value.failure.error == "CREDENTIAL_MISSING"
