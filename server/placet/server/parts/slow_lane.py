"""The slow lane: calls that policy needs long for are decided one by one, beside all others.

A call comes here when policy did not answer it within a batch's patience, or when such calls of its tenant and tool
took long lately. Here it has the whole time limit of a query. On a machine with few cores the lane rests between two
calls while others are decided, so that slow calls take at most CPU_SHARE of the cores from them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from placet.kernel import rule_ids
from placet.kernel.model import Decision
from placet.scheduling.batching import POSTPONED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from placet.decision.attempt import Request
    from placet.decision.replies import Answer
    from placet.decision.slow_inputs import SlowInputs
    from placet.scheduling.batching import Postponed

    Decide = Callable[[Sequence[Request]], Awaitable[Sequence[Answer]]]

CPU_SHARE: Final = 0.25
"""Share of the machine's cores that slow calls may use while other calls are decided."""


def lanes(cores: int) -> int:
    """Return how many slow calls are evaluated at once."""
    return max(1, int(CPU_SHARE * cores))


class SlowLane:
    """Decides slow calls, and remembers which ones are slow."""

    def __init__(
        self,
        decide: Decide,
        slow: SlowInputs,
        *,
        patience_seconds: float,
        cores: int,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`decide` gives each action the whole time limit. `patience_seconds` is what a batch waits for one."""
        self._sleep = sleep
        self._decide = decide
        self._slow = slow
        self._patience = patience_seconds
        self._rest_factor = max(0.0, 1 / (CPU_SHARE * cores) - 1)
        self._monotonic = monotonic
        self._resting_until = 0.0
        self._others = 0

    def notice(self, requests: Sequence[Request], answers: Sequence[Answer | Postponed]) -> None:
        """Take note of a batch that was decided beside the lane, and of the calls that it postponed."""
        self._others += 1
        for request, answer in zip(requests, answers, strict=True):
            if answer is POSTPONED:
                self._slow.add(request)

    async def decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """Decide one call, after a rest."""
        if (rest := self._resting_until - self._monotonic()) > 0:
            await self._sleep(rest)
        began, others = self._monotonic(), self._others
        answers = await self._decide(requests)
        took = self._monotonic() - began
        if self._others != others:
            self._resting_until = began + took * (1 + self._rest_factor)
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Decision) and answer.rule_id == rule_ids.ENGINE_TIMEOUT:
                self._slow.add(request)
            elif took < self._patience:
                self._slow.excuse(request)
        return answers
