"""A batch decided in pieces: what changes between two of them is found, and nothing is recorded before the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.audit.records import Conflict
from placet.kernel.limits import QUEUE_TURN_ACTIONS
from placet.kernel.model import Decision
from placet.kernel.portions import portions
from tests.support.decision_env import DecisionEnv, budget, effects_of, policies
from tests.support.fakes import ALLOWED, FullLedger, ScriptedPolicy, new_request, verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from placet.audit.records import Commitment, CommitResult
    from placet.kernel.model import Verdict

ACTIONS = 3 * QUEUE_TURN_ACTIONS
ALLOW = ("allow", "tools.listed")


async def decided(env: DecisionEnv, between: Callable[[], Awaitable[object]]) -> list[Decision]:
    """The decisions of a batch in pieces, between the first two of which something happens."""
    pieces = env.point.in_pieces([new_request(run__step=number) for number in range(ACTIONS)])
    assert await anext(pieces) is None
    assert not await env.recorded()
    await between()
    [*others, answers] = [each async for each in pieces]
    assert others == [None] * len(others)
    assert not env.errors
    assert answers is not None
    return [answer for answer in answers if isinstance(answer, Decision)]


async def nothing() -> None:
    """What happens most of the time."""


async def test_pieces_are_decided_as_the_whole_is() -> None:
    env = DecisionEnv(budget(limit=ACTIONS - 5))
    decisions = await decided(env, nothing)
    assert env.policy.batches[:3] == [QUEUE_TURN_ACTIONS] * 3
    effects = [each for each, _ in effects_of(*decisions)]
    assert effects == ["allow"] * (ACTIONS - 5) + ["deny"] * 5, "each sees what those before it used up"
    assert len(await env.recorded()) == ACTIONS


async def test_a_kill_switch_set_between_two_pieces_stops_all_of_them() -> None:
    env = DecisionEnv()
    decisions = await decided(env, lambda: env.kill("tenant"))
    assert effects_of(*decisions) == [("deny", "kill_switch.tenant")] * ACTIONS


async def test_a_policy_loaded_between_two_pieces_decides_all_of_them() -> None:
    env = DecisionEnv()

    async def load() -> None:
        def say(_: object) -> Verdict:
            return verdict(ALLOWED, revision="rev2")

        env.source.policy = ScriptedPolicy(say, revision="rev2", agent_policies=policies())

    decisions = await decided(env, load)
    assert {each.policy_revision for each in decisions} == {"rev2"}
    assert effects_of(*decisions) == [ALLOW] * ACTIONS


@pytest.mark.parametrize("sizes", [[], [1], [5, 5, 1], [11, 1, 11], [4, 4, 4, 4], [1] * 7])
def test_portions_are_bounded_and_in_order(sizes: list[int]) -> None:
    cut = list(portions(sizes, lambda size: size, count_max=3, bytes_max=10))
    assert [size for portion in cut for size in portion] == sizes
    assert all(portion and len(portion) <= 3 for portion in cut)
    assert all(sum(portion) <= 10 or len(portion) == 1 for portion in cut)


class Contended(FullLedger):
    """A ledger in which the last of the first batch loses a race."""

    contended = True

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        if not self.contended:
            return await super().commit(commitments)
        self.contended = False
        return [*await super().commit(commitments[:-1]), Conflict(commitments[-1].changes[0])]


async def test_once_something_is_recorded_the_rest_is_decided_without_a_pause() -> None:
    env = DecisionEnv(budget(limit=ACTIONS), ledger=Contended)
    pieces = env.point.in_pieces([new_request(run__step=number) for number in range(ACTIONS)])
    recorded = [len(await env.recorded()) async for answers in pieces if answers is None]
    assert recorded == [0, 0]
    assert len(await env.recorded()) == ACTIONS
