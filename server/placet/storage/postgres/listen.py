"""Listens for records with a subject that other replicas store."""

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
"""Watchers look for changes at least this often, also without a notification: a NOTIFY may be lost."""
STOP_SECONDS: Final = 0.2
"""How often the thread checks whether to stop."""


class Listener:
    """A thread with its own session, from `start` to `stop`. Calls `wake` when there may be something new."""

    def __init__(self, url: str, name: str, wake: Callable[[], object]) -> None:
        self._url = url
        self._name = name
        self._wake = wake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="placet-ledger-listen", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread soon."""
        self._stopping.set()
        self._thread.join(1.0)  # it may be trying to connect

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error:  # the writer reports the cause; until the session is back, look periodically
                self._stopping.wait(LOOK_SECONDS)
                self._notify()

    def _listen(self) -> None:
        connection = connect(self._url, self._name)
        try:
            connection.driver.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self._notify()  # for records stored before LISTEN
            quiet_seconds = 0.0
            while not self._stopping.is_set():
                notifications = connection.driver.notifies(timeout=STOP_SECONDS, stop_after=1)
                writers = [notification.payload for notification in notifications]
                quiet_seconds = 0.0 if writers else quiet_seconds + STOP_SECONDS
                if any(writer != self._name for writer in writers) or quiet_seconds >= LOOK_SECONDS:
                    quiet_seconds = 0.0
                    self._notify()
        finally:
            connection.close()

    def _notify(self) -> None:
        if not self._stopping.is_set():
            self._wake()
