"""A change of policy waits for workers that still evaluate by the old revision."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
import structlog

from placet.engine.client import longest_evaluation_seconds
from placet.engine.managed import ManagedPolicies
from placet.engine.shared import SharedRevision
from placet.workers.messages import Retire
from placet.workers.policy_relay import PolicyRelay

if TYPE_CHECKING:
    from placet.engine.served_revision import ServedRevision

TIMEOUT_SECONDS: Final = 1.0


class Worker:
    """A worker that needs as long as given to end its last evaluations."""

    def __init__(self, drains_seconds: float) -> None:
        self.number, self.killed = 1, False
        self.channel = SimpleNamespace(number=lambda: 1, send=lambda _message: None)
        self.ended = SimpleNamespace(is_set=lambda: False)
        self._drains_seconds = drains_seconds

    async def ask(self, message: object, _number: int, seconds: float) -> str:
        return "no answer" if isinstance(message, Retire) and seconds < self._drains_seconds else ""

    def kill(self) -> None:
        self.killed = True


class Policies(ManagedPolicies):
    """A source that serves one revision."""

    def __init__(self) -> None:
        """Read no folder."""

    def current(self) -> ServedRevision | None:
        served: Any = SimpleNamespace(revision="r1", process=SimpleNamespace(address=None), confirmed_at=0.0)
        return cast("ServedRevision", served)

    def status(self) -> Any:
        return None


@pytest.mark.parametrize(
    ("drains_seconds", "killed"),
    [(longest_evaluation_seconds(TIMEOUT_SECONDS), False), (2 * longest_evaluation_seconds(TIMEOUT_SECONDS), True)],
)
async def test_only_a_worker_that_hangs_is_killed(
    monkeypatch: pytest.MonkeyPatch, *, drains_seconds: float, killed: bool
) -> None:
    monkeypatch.setattr(SharedRevision, "of", classmethod(lambda _cls, served: served))
    observer: Any = SimpleNamespace(log=structlog.get_logger())
    relay = PolicyRelay(observer, TIMEOUT_SECONDS)
    relay.follow(Policies())
    worker: Any = Worker(drains_seconds)
    await relay.join(worker)
    assert worker.killed is killed
