"""Clocks that a test moves: the machines', and that of the database's server."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from placet.server import core
from placet.storage.connections import postgres as postgres_connect
from tests.faults.serving import policy_copy
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from tests.serving import Server

DAY: Final = 86_400
HOUR: Final = 3_600
MINUTE: Final = 60
SECOND_US: Final = 1_000_000
LENIENT_SECONDS: Final = 30 * DAY
"""A bound that nothing here exceeds: then the floor alone keeps time, and nothing is denied for a clock."""
TENANT: Final = "clocks"
READ: Final = "vault.read"
TAKE: Final = "vault.take"
"""Three in a day."""
WIRE: Final = "vault.wire"
"""Needs one keeper, within a minute."""
TAKES_MAX: Final = 3
POLICY: Final = f"""
agent_policy:
  default_mode: read_only
  allowed_tools: [{READ}]
  write_tools: [{TAKE}, {WIRE}]
  approvals:
    {TAKE}: not_required
    {WIRE}: {{quorum: 1, approver_roles: [keeper], expires_after_seconds: {MINUTE}}}
  approver_groups: {{keeper: [u_keeper]}}
  budgets:
    - {{id: takes, scope: tenant, measure: calls, limit: {TAKES_MAX}, window: day, match: {{tools: [{TAKE}]}}}}
"""


def noon() -> int:
    """Seconds from now until noon, UTC: whatever the hour, a test does not run over midnight."""
    return DAY // 2 - int(time.time()) % DAY


class MovedClock:
    """The machine's clock, so many seconds ahead of the true time. The monotonic one is the true one."""

    def __init__(self, ahead_seconds: float = 0) -> None:
        self.ahead_seconds = ahead_seconds

    def wall_us(self) -> int:
        return time.time_ns() // 1_000 + round(self.ahead_seconds * SECOND_US)

    def monotonic(self) -> float:
        return time.monotonic()


class Clocks:
    """Starts servers whose clocks can be moved. `url` "" is SQLite."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
        self.url = url
        self.machine = MovedClock()
        """Of the server that was started last."""
        self._monkeypatch = monkeypatch
        self._asked = postgres_connect.CLOCK
        self._folder = folder
        self._rego_dir = policy_copy(folder)
        (self._rego_dir / "config" / f"{TENANT}.yaml").write_text(POLICY)

    def move_all(self, ahead_seconds: float) -> None:
        """All clocks that there are, as when a network's time server is wrong."""
        self.machine.ahead_seconds = ahead_seconds
        self.move_database(ahead_seconds)

    def move_database(self, ahead_seconds: float) -> None:
        """The clock of the database's server, as far as replicas see it."""
        moved = f"{self._asked} + {round(ahead_seconds * SECOND_US)}"
        self._monkeypatch.setattr(postgres_connect, "CLOCK", moved)

    @contextlib.contextmanager
    def serving(self, ahead_seconds: float = 0, replica: str = "a", **changes: object) -> Iterator[Server]:
        """A server whose machine's clock is so far ahead."""
        self.machine = machine = MovedClock(ahead_seconds)
        self._monkeypatch.setattr(core, "SystemClock", lambda: machine)
        chosen = {"rego_dir": self._rego_dir, "database_url": self.url, "replica_id": replica, **changes}
        with serving(settings(self._folder / replica, **chosen)) as server:
            yield server
