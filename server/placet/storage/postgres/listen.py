"""Hear when another replica stored something that may be watched for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from placet.storage.connections.postgres import connect
from placet.storage.postgres.writer import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS: Final = 2.0
"""Whoever watches looks at the latest after so long, also when nothing was heard: a NOTIFY may be lost."""
STOP_SECONDS: Final = 0.2
"""How often the thread looks whether it is to end."""


class Listener:
    """A thread with a session of its own, from `start` to `stop`."""

    def __init__(self, url: str, name: str, wake: Callable[[], object]) -> None:
        self._url = url
        self._name = name
        self._wake = wake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="placet-ledger-listen", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End it, soon."""
        self._stopping.set()
        self._thread.join(1.0)  # it may be trying to connect

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error:  # the writer tells why; until it is back, look now and then
                self._stopping.wait(LOOK_SECONDS)
                self._heard()

    def _listen(self) -> None:
        connection = connect(self._url, self._name)
        try:
            connection.driver.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self._heard()  # what was stored before it listened
            quiet = 0.0
            while not self._stopping.is_set():
                heard = [said.payload for said in connection.driver.notifies(timeout=STOP_SECONDS, stop_after=1)]
                quiet = 0.0 if heard else quiet + STOP_SECONDS
                if any(writer != self._name for writer in heard) or quiet >= LOOK_SECONDS:
                    quiet = 0.0
                    self._heard()
        finally:
            connection.close()

    def _heard(self) -> None:
        if not self._stopping.is_set():
            self._wake()
