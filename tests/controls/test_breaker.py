from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.controls.breakers.model import (
    CLOSED,
    Admission,
    Breaker,
    BreakerEffect,
    BreakerScope,
    BreakerSpec,
    Phase,
    admit,
    breaker_ids,
    on_outcome,
    probing,
)

SECOND = 1_000_000
NOW = 1_000 * SECOND


def spec(*, in_a_row: int | None = None, rate: int | None = None, min_calls: int = 4) -> BreakerSpec:
    return BreakerSpec(in_a_row, rate, min_calls, 60, 30, BreakerEffect.DENY, tuple(BreakerScope))


ROW = spec(in_a_row=3)
RATE = spec(rate=500)


def after(outcomes: str, of: BreakerSpec, state: Breaker = CLOSED, every: int = SECOND) -> Breaker:
    """The state after outcomes, ``.`` for one that worked and ``x`` for one that failed."""
    for index, outcome in enumerate(outcomes):
        state = on_outcome(state, ok=outcome == ".", now_us=NOW + index * every, spec=of, decision_id="d")
    return state


@pytest.mark.parametrize(
    ("outcomes", "of", "phase"),
    [
        ("xx", ROW, Phase.CLOSED),
        ("xxx", ROW, Phase.OPEN),
        ("xx.xx", ROW, Phase.CLOSED),
        ("xx.xxx", ROW, Phase.OPEN),
        ("xxx", RATE, Phase.CLOSED),
        ("xxxx", RATE, Phase.OPEN),
        (".x.x", RATE, Phase.OPEN),
        ("...x", RATE, Phase.CLOSED),
        ("x.xx", spec(in_a_row=2, rate=900), Phase.OPEN),
        ("xx..", RATE, Phase.CLOSED),
    ],
)
def test_when_it_opens(outcomes: str, of: BreakerSpec, phase: Phase) -> None:
    assert after(outcomes, of).phase is phase


def test_a_success_never_opens_it() -> None:
    state = after("xx.", spec(rate=500, min_calls=4))
    assert after(".", spec(rate=500, min_calls=4), state).phase is Phase.CLOSED


def test_a_rate_counts_within_its_window_and_failures_in_a_row_beyond_it() -> None:
    apart = 31 * SECOND
    assert after("xxxx", RATE, every=apart).phase is Phase.CLOSED
    assert after("xxx", ROW, every=apart).phase is Phase.OPEN


def test_closed_allows_open_refuses_and_then_one_probes() -> None:
    assert admit(CLOSED, NOW, ROW) is Admission.ALLOWED
    opened = Breaker(Phase.OPEN, since_us=NOW)
    assert admit(opened, NOW, ROW) is Admission.REFUSED
    assert admit(opened, NOW + 30 * SECOND - 1, ROW) is Admission.REFUSED
    assert admit(opened, NOW + 30 * SECOND, ROW) is Admission.PROBE
    probed = probing(opened, "d_1", NOW + 30 * SECOND)
    assert probed.phase is Phase.HALF_OPEN
    assert admit(probed, NOW + 31 * SECOND, ROW) is Admission.REFUSED


def test_the_probe_closes_it_or_opens_it_again() -> None:
    probed = probing(Breaker(Phase.OPEN, since_us=NOW), "d_1", NOW)
    later = NOW + SECOND
    assert on_outcome(probed, ok=True, now_us=later, spec=ROW, decision_id="d_1") == CLOSED
    failed = on_outcome(probed, ok=False, now_us=later, spec=ROW, decision_id="d_1")
    assert (failed.phase, failed.since_us) == (Phase.OPEN, later)


@pytest.mark.parametrize("ok", [True, False])
def test_outcomes_of_calls_from_before_say_nothing_new(ok: bool) -> None:  # noqa: FBT001
    opened = Breaker(Phase.OPEN, since_us=NOW)
    assert on_outcome(opened, ok=ok, now_us=NOW + 1, spec=ROW, decision_id="d_0") == opened
    probed = probing(opened, "d_1", NOW)
    assert on_outcome(probed, ok=ok, now_us=NOW + 1, spec=ROW, decision_id="d_0") == probed


def test_a_probe_that_nobody_reported_on_gives_way_to_another() -> None:
    probed = probing(Breaker(Phase.OPEN, since_us=NOW), "d_1", NOW)
    assert admit(probed, NOW + 30 * SECOND, ROW) is Admission.PROBE
    again = probing(probed, "d_2", NOW + 30 * SECOND)
    assert on_outcome(again, ok=True, now_us=NOW + 31 * SECOND, spec=ROW, decision_id="d_1") == again


def test_a_clock_set_back_does_not_keep_it_open() -> None:
    assert admit(Breaker(Phase.OPEN, since_us=NOW), NOW - SECOND, ROW) is Admission.PROBE


@given(st.text("x.", max_size=30))
def test_what_is_written_is_what_is_read(outcomes: str) -> None:
    state = after(outcomes, ROW)
    assert Breaker.from_json(orjson.loads(orjson.dumps(state.to_json()))) == state


def test_which_breakers_watch_an_action() -> None:
    assert breaker_ids(ROW, "pay", "r_1") == ("run:r_1", "tool:pay", "tenant")
    assert breaker_ids(ROW, "pay", "") == ("tool:pay", "tenant")
