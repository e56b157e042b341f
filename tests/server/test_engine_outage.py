"""Two log lines for an outage of OPA, however many queries it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import capture_logs

from placet.kernel import rule_ids
from placet.revisions.status import EngineMode, PolicyStatus
from placet.server.engine_outage import QUIET_SECONDS, EngineOutage
from placet.server.observer import ServerObserver
from placet.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

DOWN, SLOW = rule_ids.ENGINE_UNAVAILABLE, rule_ids.ENGINE_TIMEOUT
REFUSED = "connection refused"


class Machine:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def wall_us(self) -> int:
        return int(self.seconds * 1_000_000)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def outage(machine: Machine) -> EngineOutage:
    return EngineOutage(structlog.stdlib.get_logger(), machine.monotonic)


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    structlog.reset_defaults()  # a server that ran in this process before may have configured its level
    with capture_logs() as captured:
        yield captured


def test_an_outage_is_two_lines(outage: EngineOutage, machine: Machine, lines: list[dict[str, Any]]) -> None:
    for _ in range(50):
        outage.failed(DOWN, REFUSED)
        machine.seconds += 0.1
        outage.look(ready=False)
    assert [line["event"] for line in lines] == ["policy engine error"]
    assert (lines[0]["rule_id"], lines[0]["cause"], lines[0]["log_level"]) == (DOWN, REFUSED, "warning")
    machine.seconds += QUIET_SECONDS
    outage.look(ready=True)
    outage.look(ready=True)
    assert lines[1:] == [
        {"event": "policy engine answers again", "log_level": "info", "failures": 50, "seconds": 4.9},
    ]


def test_the_next_outage_is_logged_again(outage: EngineOutage, machine: Machine, lines: list[dict[str, Any]]) -> None:
    for _ in range(2):
        outage.failed(SLOW, "no answer in 0.250 s")
        machine.seconds += QUIET_SECONDS
        outage.look(ready=True)
    assert [line["event"] for line in lines] == ["policy engine error", "policy engine answers again"] * 2


@pytest.mark.parametrize(("quiet_seconds", "ready"), [(QUIET_SECONDS - 0.1, True), (1_000.0, False)])
def test_it_is_not_over_before_opa_is_ready_and_no_query_fails(
    outage: EngineOutage, machine: Machine, lines: list[dict[str, Any]], quiet_seconds: float, *, ready: bool
) -> None:
    outage.failed(DOWN, REFUSED)
    machine.seconds += quiet_seconds
    outage.look(ready=ready)
    assert len(lines) == 1


def test_each_way_to_fail_is_logged_once(outage: EngineOutage, lines: list[dict[str, Any]]) -> None:
    for rule_id in (DOWN, SLOW, DOWN, SLOW):
        outage.failed(rule_id, REFUSED)
    assert [line["rule_id"] for line in lines] == [DOWN, SLOW]


def test_what_the_query_itself_makes_fail_is_always_logged(outage: EngineOutage, lines: list[dict[str, Any]]) -> None:
    for cause in ("one rule", "another rule"):
        outage.failed(rule_ids.ENGINE_ERROR, cause)
    assert [line["cause"] for line in lines] == ["one rule", "another rule"]


async def test_the_server_logs_the_end_and_counts_every_failure(machine: Machine, lines: list[dict[str, Any]]) -> None:
    metrics = Metrics()
    observer = ServerObserver(structlog.stdlib.get_logger(), metrics, machine)
    for _ in range(3):
        observer.engine_failure(DOWN, REFUSED)
    await observer.set_policy_ready(ready=True)
    machine.seconds += QUIET_SECONDS
    await observer.policy_status(PolicyStatus(ready=True, engine_mode=EngineMode.MANAGED))
    assert [line["event"] for line in lines] == ["policy engine error", "policy engine answers again"]
    assert metrics.engine_failures.labels(DOWN)._value.get() == 3
