"""A batch pauses for other tasks between its steps, but not at the end of a stage: policy would be asked later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.kernel.steps import TOGETHER, mapped
from placet.scheduling import slices
from tests.support.decision_env import DecisionEnv, budget
from tests.support.fakes import new_request

if TYPE_CHECKING:
    from collections.abc import Callable


def pauses(count: int, is_large: Callable[[int], bool] = lambda _number: False) -> int:
    return sum(1 for _ in mapped(lambda number: number, range(count), is_large))


@pytest.mark.parametrize(
    ("count", "expected"), [(0, 0), (1, 0), (TOGETHER, 0), (TOGETHER + 1, 1), (2 * TOGETHER, 1), (2 * TOGETHER + 1, 2)]
)
def test_small_items_pause_between_steps_only(count: int, expected: int) -> None:
    assert pauses(count) == expected


def test_large_items_pause_between_each_other() -> None:
    assert pauses(3, lambda _number: True) == 2
    assert pauses(3, lambda number: number == 1) == 1


@pytest.mark.parametrize(("actions", "stages_that_pause"), [(TOGETHER, 0), (TOGETHER + 1, 4)])
async def test_a_step_of_requests_is_decided_without_a_pause(
    monkeypatch: pytest.MonkeyPatch, actions: int, stages_that_pause: int
) -> None:
    counted = []

    async def pause() -> None:
        counted.append(1)

    env = DecisionEnv(budget(limit=1_000))
    monkeypatch.setattr(slices, "pause", pause)
    await env.point.decide([new_request(run__step=number) for number in range(actions)])
    assert len(counted) == stages_that_pause, "gather twice, guards, commitments"
