"""A whole server with real OPA and SQLite in this process, on a thread and an event loop of its own."""

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

from placet.server.build import RunningServer, open_server
from placet.server.settings import Settings
from tests.support.bundle_cache import seed_bundles
from tests.watchdog import watching

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from contextlib import AbstractContextManager

    from tests.watchdog import Watchdog

Result = TypeVar("Result")
REGO_DIR = Path(__file__).parent.parent / "rego"
SECONDS_MAX = 60.0
ENGINE_TIMEOUT_MS = 20_000
"""A loaded machine must not turn an answer into pdp.engine_timeout."""


class Server:
    """What tests see of it: its address, its parts, and a way into its event loop."""

    def __init__(self, running: RunningServer, loop: asyncio.AbstractEventLoop, data_dir: Path) -> None:
        self.address = running.address
        self.running = running
        self.data_dir = data_dir
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run something in the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS_MAX)

    def watched(self) -> AbstractContextManager[Watchdog]:
        """Watch for how long its event loop is held by one thing."""
        return watching(self._loop)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Its event loop does nothing else for the time of the block."""
        begun, over = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            over.wait(SECONDS_MAX)

        self._loop.call_soon_threadsafe(hold)
        assert begun.wait(SECONDS_MAX)
        try:
            yield
        finally:
            over.set()

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The stored records of a kind, oldest first: tenant, body, and parts by name."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data_dir}/placet.db?mode=ro", uri=True)) as database:
            rows = database.execute(
                "select tenant, writer, sequence, body from audit_records where kind = ? order by sequence", (kind,)
            ).fetchall()
            parts = "select name, content from audit_parts where tenant = ? and writer = ? and sequence = ?"
            return [
                {
                    "tenant": place[0],
                    "body": json.loads(body),
                    "parts": {name: json.loads(content) for name, content in database.execute(parts, place)},
                }
                for *place, body in rows
            ]


def settings(data_dir: Path, **changes: Any) -> Settings:
    """The settings of a server for tests; it decides by a copy of the shipped policies."""
    rego_dir = data_dir / "rego"
    if not rego_dir.exists():
        shutil.copytree(REGO_DIR, rego_dir, ignore=shutil.ignore_patterns("*_test.rego"))
    said = {
        "listen": "127.0.0.1:0",
        "data_dir": data_dir,
        "rego_dir": rego_dir,
        "opa_timeout_ms": ENGINE_TIMEOUT_MS,
        "log_level": "error",
    }
    return Settings(**{**said, **changes})


@contextlib.contextmanager
def serving(chosen: Settings) -> Iterator[Server]:
    """A server, until the end of the block."""
    keep_bundles = seed_bundles(chosen.rego_dir, chosen.data_dir)
    started = threading.Event()
    state: dict[str, Any] = {}

    async def serve() -> None:
        async with open_server(chosen) as server:
            stop = asyncio.Event()
            state["stop"] = stop.set
            state["server"] = Server(server, asyncio.get_running_loop(), chosen.data_dir)
            started.set()
            await stop.wait()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                state["loop"] = runner.get_loop()
                runner.run(serve())
        except BaseException as fault:  # noqa: BLE001 - raised again below, in the thread of the test
            state["fault"] = fault
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
    if "fault" in state:
        raise state["fault"]
