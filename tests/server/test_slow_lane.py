"""The slow lane rests where cores are few, and remembers which calls are slow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from placet.decision.slow_inputs import SlowInputs
from placet.kernel import rule_ids
from placet.kernel.model import Indeterminate
from placet.scheduling.batching import POSTPONED
from placet.server.parts.slow_lane import SlowLane, lanes
from tests.support.fakes import ALLOWED, Bench, ScriptedPolicy, new_request, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.decision.attempt import Request
    from placet.decision.replies import Answer

PATIENCE_SECONDS = 0.05


@dataclass
class Lane:
    """A slow lane in which each call takes `takes` seconds of a clock that the test turns."""

    cores: int = 2
    takes: float = 0.2
    answered: str = rule_ids.ENGINE_TIMEOUT
    beside: bool = True  # whether other calls are decided meanwhile
    now: float = 100.0
    began: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slow = SlowInputs(lambda: self.now)
        said = verdict(ALLOWED) if self.answered == ALLOWED.rule_id else Indeterminate(self.answered, "cause")
        self.point = Bench(ScriptedPolicy(lambda _: said)).point
        self.lane = SlowLane(
            self._decide,
            self.slow,
            patience_seconds=PATIENCE_SECONDS,
            cores=self.cores,
            monotonic=lambda: self.now,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds

    async def _decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        self.began.append(self.now)
        if self.beside:
            self.lane.notice([], [])
        self.now += self.takes
        return await self.point.decide(requests)


@pytest.mark.parametrize(("cores", "rest"), [(1, 0.6), (2, 0.2), (3, 0.2 / 3), (4, 0.0), (64, 0.0)])
async def test_it_rests_so_that_others_keep_most_of_the_cores(cores: int, rest: float) -> None:
    lane = Lane(cores)
    for _ in range(3):
        await lane.lane.decide([new_request()])
    assert [later - earlier for earlier, later in zip(lane.began, lane.began[1:], strict=False)] == [
        pytest.approx(0.2 + rest)
    ] * 2


async def test_it_does_not_rest_when_nothing_else_is_decided() -> None:
    lane = Lane(beside=False)
    for _ in range(2):
        await lane.lane.decide([new_request()])
    assert lane.began[1] - lane.began[0] == pytest.approx(0.2)


async def test_it_does_not_wait_for_a_rest_that_is_over() -> None:
    lane = Lane()
    await lane.lane.decide([new_request()])
    lane.now += 10
    await lane.lane.decide([new_request()])
    assert lane.began[1] - lane.began[0] == pytest.approx(10.2)


def test_large_machines_evaluate_several_slow_calls_at_once() -> None:
    assert [lanes(cores) for cores in (1, 2, 4, 8, 64)] == [1, 1, 1, 2, 16]


async def test_what_was_postponed_or_timed_out_is_slow() -> None:
    lane = Lane()
    slow, quick = new_request("look"), new_request("pay")
    lane.lane.notice([slow, quick], [POSTPONED, (await lane.point.decide([quick]))[0]])
    assert slow in lane.slow
    assert quick not in lane.slow
    await lane.lane.decide([quick])
    assert quick in lane.slow


async def test_a_call_that_is_quick_here_is_excused() -> None:
    lane = Lane(takes=PATIENCE_SECONDS / 2, answered=ALLOWED.rule_id)
    lane.lane.notice([request := new_request()], [POSTPONED])
    await lane.lane.decide([request])
    assert request not in lane.slow


async def test_a_call_that_is_slow_here_but_answered_stays_slow() -> None:
    lane = Lane(takes=2 * PATIENCE_SECONDS, answered=ALLOWED.rule_id)
    lane.lane.notice([request := new_request()], [POSTPONED])
    await lane.lane.decide([request])
    assert request in lane.slow
