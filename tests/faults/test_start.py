"""A server that cannot start says what is wrong and how to mend it, in a line; nothing of it is left over."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from placet.policy.toolchain.binary import opa_version
from placet.signing.keys import PUBLIC_NAME, load_public_key
from tests.faults.breaking import full, immutable
from tests.faults.serving import STOP_SECONDS_MAX, Server, eventually, free_address, refused, serving
from tests.faults.traffic import ask_rightly

if TYPE_CHECKING:
    from pathlib import Path


def one_line(folder: Path, rego_dir: Path, **flags: object) -> str:
    code, lines = refused(folder, rego_dir, **flags)
    assert (code, len(lines)) == (2, 1), lines
    assert lines[0].startswith("placet: ")
    return lines[0]


def test_two_servers_on_one_data_directory(server: Server, tmp_path: Path, rego_dir: Path) -> None:
    line = one_line(tmp_path / "second", rego_dir, data_dir=server.data_dir)
    assert f"in use by process {server.process.pid}" in line
    assert "its own data_dir" in line
    assert server.address
    assert ask_rightly(server)


@pytest.mark.parametrize(("setting", "ends"), [("listen", []), ("metrics_listen", ["failed"])])
def test_the_port_is_in_use(tmp_path: Path, rego_dir: Path, setting: str, ends: list[str]) -> None:
    """That of the calls is tried before anything begins, so there is no end to record."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = one_line(tmp_path, rego_dir, **{setting: f"127.0.0.1:{port}"})
    assert f"127.0.0.1:{port}" in line
    assert line.endswith(f"with --{setting.replace('_', '-')}")
    with serving(tmp_path, rego_dir) as server:
        assert [each["reason"] for each in server.records("server.stopped")] == ends
        assert server.verify().ok


def test_two_servers_on_one_port(server: Server, tmp_path: Path, rego_dir: Path) -> None:
    line = one_line(tmp_path / "second", rego_dir, listen=server.address)
    assert server.address in line
    assert ask_rightly(server)


def test_the_database_may_not_be_written(tmp_path: Path, rego_dir: Path) -> None:
    with serving(tmp_path, rego_dir) as server:
        assert server.stop() == 0
    with immutable(server.data_dir / "placet.db"):
        line = one_line(tmp_path, rego_dir)
    assert str(server.data_dir / "placet.db") in line
    assert "writable" in line


def test_the_disk_is_full(small_disk: Path, tmp_path: Path, rego_dir: Path) -> None:
    with serving(small_disk, rego_dir) as server:
        assert server.stop() == 0
    with full(small_disk):
        line = one_line(tmp_path / "elsewhere", rego_dir, data_dir=server.data_dir)
    assert "room" in line


@pytest.mark.parametrize(
    ("free_kib", "path"),
    [
        (0, "keys/audit_ed25519.pem"),
        (4, "keys/audit_ed25519.pem"),
        (8, "placet.db.lock"),
        (420, "bundles"),
        (470, "bundles"),
    ],
)
def test_the_first_start_on_a_full_disk(
    small_disk: Path, tmp_path: Path, rego_dir: Path, free_kib: int, path: str
) -> None:
    data_dir, filler = small_disk / "data", small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - free_kib * 1024))
    line = one_line(tmp_path / "first", rego_dir, data_dir=data_dir)
    assert f"{data_dir / path}: cannot be " in line
    assert "No space left on device" in line
    assert line.endswith("; make room on its disk")
    filler.unlink()
    with serving(tmp_path / "second", rego_dir, data_dir=data_dir) as server:
        assert ask_rightly(server)


def test_the_signing_key_is_gone(tmp_path: Path, rego_dir: Path) -> None:
    with serving(tmp_path, rego_dir) as server:
        assert server.stop() == 0
    keys, aside = server.data_dir / "keys", tmp_path / "aside"
    keys.rename(aside)
    line = one_line(tmp_path, rego_dir)
    assert load_public_key(aside / PUBLIC_NAME).key_id in line
    assert "restore that key" in line
    assert not keys.exists()
    aside.rename(keys)
    with serving(tmp_path, rego_dir) as server:
        assert server.verify().ok


def test_the_data_directory_is_a_file(tmp_path: Path, rego_dir: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in one_line(tmp_path, rego_dir, data_dir=tmp_path / "file")


def test_another_opa(tmp_path: Path, rego_dir: Path) -> None:
    other = tmp_path / "opa"
    other.write_text("#!/bin/sh\necho Version: 0.1.0\n")
    other.chmod(0o755)
    line = one_line(tmp_path, rego_dir, opa_path=other)
    assert f"is OPA 0.1.0, but Placet needs OPA {opa_version()}" in line
    assert "placet tools install" in line
    assert not (tmp_path / "data").exists()


def test_a_signal_during_the_start_stops_it(tmp_path: Path, rego_dir: Path) -> None:
    opa = tmp_path / "opa"
    real = subprocess.run(["which", "opa"], capture_output=True, text=True, check=True).stdout.strip()
    opa.write_text(f'#!/bin/sh\n[ "$1" = run ] && exec sleep 60\nexec {real} "$@"\n')
    opa.chmod(0o755)
    server = Server(tmp_path, rego_dir, opa_path=opa, metrics_listen=free_address())
    try:
        eventually((server.data_dir / "opa.log").exists, 10, "OPA is started")
        server.signal(signal.SIGTERM)
        assert server.wait(STOP_SECONDS_MAX) == 0
        assert [each["reason"] for each in server.records("server.stopped")] == ["stopped"]
    finally:
        server.process.kill()
