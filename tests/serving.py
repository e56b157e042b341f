"""Runs a complete server with real OPA and SQLite in this process, in a separate thread with its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from placet.server.build import open_server
from placet.server.settings.model import Settings
from tests.support.bundle_cache import seed_bundles
from tests.watchdog import watching

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from contextlib import AbstractContextManager

    from placet.server.core import RunningServer
    from tests.watchdog import Watchdog

Result = TypeVar("Result")
REGO_DIR = Path(__file__).parent.parent / "rego"
SECONDS_MAX = 60.0
ENGINE_TIMEOUT_MS = 20_000
"""High, so that load on the machine does not cause pdp.engine_timeout."""


class Server:
    """A running server, for tests: its address, its parts, and its event loop."""

    def __init__(self, running: RunningServer, loop: asyncio.AbstractEventLoop, data_dir: Path) -> None:
        self.address = running.address
        self.running = running
        self.data_dir = data_dir
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the server's event loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS_MAX)

    def watched(self) -> AbstractContextManager[Watchdog]:
        """Measure how long single callbacks occupy the event loop."""
        return watching(self._loop)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Block the event loop for the duration of the block."""
        begun, ended = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            ended.wait(SECONDS_MAX)

        self._loop.call_soon_threadsafe(hold)
        assert begun.wait(SECONDS_MAX)
        try:
            yield
        finally:
            ended.set()

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the stored records of a kind, oldest first: tenant, body, and parts by name."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data_dir}/placet.db?mode=ro", uri=True)) as database:
            rows = database.execute(
                "select tenant, writer, sequence, body from audit_records where kind = ? order by sequence", (kind,)
            ).fetchall()
            parts = "select name, content from audit_parts where tenant = ? and writer = ? and sequence = ?"
            return [
                {
                    "tenant": key[0],
                    "body": json.loads(body),
                    "parts": {name: json.loads(content) for name, content in database.execute(parts, key)},
                }
                for *key, body in rows
            ]


def settings(data_dir: Path, **changes: Any) -> Settings:
    """Return the settings of a test server, which uses a copy of the shipped policies in `data_dir`."""
    rego_dir = data_dir / "rego"
    if not rego_dir.exists():
        shutil.copytree(REGO_DIR, rego_dir, ignore=shutil.ignore_patterns("*_test.rego"))
    defaults = {
        "listen": "127.0.0.1:0",
        "data_dir": data_dir,
        "rego_dir": rego_dir,
        "opa_timeout_ms": ENGINE_TIMEOUT_MS,
        "log_level": "error",
    }
    return Settings(**{**defaults, **changes})


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[Server]:
    """Run a server for the duration of the block."""
    keep_bundles = seed_bundles(settings.rego_dir, settings.data_dir)
    started = threading.Event()
    state: dict[str, Any] = {}

    async def serve() -> None:
        async with open_server(settings) as server:
            stop = asyncio.Event()
            state["stop"] = stop.set
            state["server"] = Server(server, asyncio.get_running_loop(), settings.data_dir)
            started.set()
            await stop.wait()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                state["loop"] = runner.get_loop()
                runner.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread of the test
            state["error"] = error
        finally:
            started.set()

    thread = threading.Thread(target=work, name="placet-server")
    thread.start()
    started.wait(SECONDS_MAX)
    try:
        if "server" in state:
            keep_bundles()
            yield state["server"]
    finally:
        if "stop" in state:
            with contextlib.suppress(RuntimeError):  # it ended by itself
                state["loop"].call_soon_threadsafe(state["stop"])
        thread.join(SECONDS_MAX)
    if "error" in state:
        raise state["error"]
