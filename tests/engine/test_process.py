"""OPA as a child: private, supervised, never left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from placet.engine.process import FOLDER, OpaProcess
from placet.engine.served_revision import Engine, ServedRevision
from placet.kernel.errors import ConfigurationError, PolicyInvalidError
from placet.kernel.model import Indeterminate, Verdict
from tests.freezing import freeze

if TYPE_CHECKING:
    from placet.policy.bundles.bundle import Bundle

PARENT = """
import asyncio, sys, time
from pathlib import Path
from placet.engine.process import FOLDER, OpaProcess

async def main():
    process = OpaProcess.start(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]))
    while not Path(process.address.socket).exists():
        await asyncio.sleep(0.01)
    print(process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def engine_of(opa: Path, log: Path) -> Engine:
    return Engine(opa, log, 0.25, lambda _rule_id, _cause: None)


async def started(opa: Path, bundle: Bundle, tmp_path: Path) -> ServedRevision:
    return await ServedRevision.start(bundle, engine_of(opa, tmp_path / "opa.log"), 0.0)


async def test_it_answers_and_leaves_nothing_behind(opa: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    generation = await started(opa, tiny_bundle, tmp_path)
    socket = Path(generation.process.address.socket)
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    [verdict] = await generation.evaluate([b"{}"])
    assert isinstance(verdict, Verdict)
    child = psutil.Process(generation.process.pid)
    assert child.environ() == {"GOMAXPROCS": "2", "GOMEMLIMIT": "512MiB", "GOGC": "400"}
    assert os.getpgid(child.pid) == child.pid
    await generation.stop()
    assert not child.is_running()
    assert not socket.parent.exists()


@pytest.mark.parametrize(("cores", "threads"), [(1, "2"), (2, "2"), (8, "8")])
async def test_it_uses_the_cores_that_it_may(
    opa: Path, tiny_bundle: Bundle, tmp_path: Path, cores: int, threads: str
) -> None:
    engine = dataclasses.replace(engine_of(opa, tmp_path / "opa.log"), cores=cores)
    revision = await ServedRevision.start(tiny_bundle, engine, 0.0)
    assert psutil.Process(revision.process.pid).environ()["GOMAXPROCS"] == threads
    await revision.stop()


async def test_killed_it_is_replaced_at_the_same_revision(opa: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    generation = await started(opa, tiny_bundle, tmp_path)
    os.kill(generation.process.pid, signal.SIGKILL)
    assert "exit status -9" in await asyncio.wait_for(generation.process.wait(), 5)
    [verdict] = await generation.evaluate([b"{}"])
    assert isinstance(verdict, Indeterminate)
    assert verdict.rule_id == "pdp.engine_unavailable"
    assert await generation.restart() == ""
    [verdict] = await generation.evaluate([b"{}"])
    assert isinstance(verdict, Verdict)
    await generation.stop()


async def test_stopped_it_times_out_and_can_still_be_ended(opa: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    generation = await started(opa, tiny_bundle, tmp_path)
    freeze(generation.process.pid)
    child = psutil.Process(generation.process.pid)
    async with asyncio.timeout(5):
        while child.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.001)
    [verdict] = await generation.evaluate([b"{}"])
    assert isinstance(verdict, Indeterminate)
    assert verdict.rule_id == "pdp.engine_timeout"
    assert (await generation.canary_error()).startswith("pdp.engine_timeout")
    await generation.stop()
    assert not generation.process.running


async def test_a_retired_generation_does_not_come_back(opa: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    generation = await started(opa, tiny_bundle, tmp_path)
    await generation.stop()
    assert "took over" in await generation.restart()
    assert not generation.process.running


async def test_its_last_words_are_kept(opa: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    broken = dataclasses.replace(tiny_bundle, content=b"not a bundle")
    with pytest.raises(PolicyInvalidError, match="exit status 1; last output: error"):
        await started(opa, broken, tmp_path)
    assert (tmp_path / "opa.log").read_text()


async def test_what_others_said_before_are_not_its_last_words(opa: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "opa.log").write_text("said by the one before\n")
    process = OpaProcess.start(opa, tiny_bundle.content, tmp_path / "opa.log")
    await process.kill()
    assert await process.wait() == "exit status -9; last output: none"


async def test_a_program_that_is_gone(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalidError, match="does not serve the bundle"):
        await started(tmp_path / "no-opa", tiny_bundle, tmp_path)


def test_no_python_to_start_it_with(
    tiny_bundle: Bundle, opa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(ConfigurationError, match="cannot start OPA"):
        OpaProcess.start(opa, tiny_bundle.content, tmp_path / "opa.log")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent(number: signal.Signals, opa: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(opa), str(tiny_bundle.path), str(tmp_path / "opa.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.send_signal(number)
        parent.wait(5)
    until = time.monotonic() + 5
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "OPA outlived its parent"
        time.sleep(0.01)


def left_behind(owner: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{owner}-"))
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(folder / "opa.sock"))
    return folder


async def test_what_a_dead_server_left_is_cleared_away_and_nothing_else(
    opa: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = Path(tempfile.mkdtemp(prefix="t"))  # short: a socket's path must be
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    nobody = 2**22 + 1  # above the kernel's largest process id
    dead, mine, new = left_behind(nobody), left_behind(os.getpid()), private / f"{FOLDER}{nobody}-starting"
    new.mkdir()
    listens = private / f"{FOLDER}{nobody}-of-another-container"
    listens.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(listens / "opa.sock"))
        listener.listen()
        generation = await started(opa, tiny_bundle, tmp_path)
        await generation.stop()
    assert not dead.exists()
    assert mine.exists()
    assert new.exists()
    assert listens.exists()
    shutil.rmtree(private)
