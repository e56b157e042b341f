"""While one batch is committed the next one is evaluated: commits stay in order, and no request is denied for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from placet.audit.records import Conflict, DecisionQuery
from placet.kernel import rule_ids
from placet.kernel.model import Decision
from placet.scheduling.batching import Batcher
from tests.support.decision_env import DecisionEnv, budget
from tests.support.fakes import ALLOWED, Bench, FullLedger, ScriptedPolicy, new_request, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.audit.records import Commitment, CommitResult
    from placet.decision.attempt import Request
    from placet.decision.pipeline import DecisionPoint
    from placet.decision.replies import Answer
    from placet.kernel.model import Indeterminate, Verdict

LIMIT = 40
CALLERS = 32


class TracedPolicy(ScriptedPolicy):
    """Takes a few passes of the event loop, and notes when it begins and ends."""

    trace: list[str]

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        verdicts = await super().evaluate(inputs)
        number = len(self.batches)
        self.trace.append(f"evaluate {number}")
        for _ in range(5):
            await asyncio.sleep(0)
        self.trace.append(f"evaluated {number}")
        return verdicts


class TracedLedger(FullLedger):
    """Commits when `gate` is open, and notes when it begins and ends."""

    trace: list[str]
    gate: asyncio.Event
    commits = 0

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        self.commits += 1
        number = self.commits
        self.trace.append(f"commit {number}")
        await self.gate.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        results = await super().commit(commitments)
        self.trace.append(f"committed {number}")
        return results


class SlowLedger:
    """A ledger whose commits take some passes of the event loop. Counts conflicts."""

    def __init__(self, ledger: FullLedger) -> None:
        self._ledger = ledger
        self.conflicts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        for _ in range(100):
            await asyncio.sleep(0)
        results = await self._ledger.commit(commitments)
        self.conflicts += sum(isinstance(result, Conflict) for result in results)
        return results


def overlapping(point: DecisionPoint) -> Batcher[Request, Answer]:
    batcher: Batcher[Request, Answer] = Batcher(point.decide_or_postpone, depth_max=1_000)
    batcher.overlap(point.decide_or_postpone)
    return batcher


def traced() -> tuple[Bench, Batcher[Request, Answer], list[str], asyncio.Event]:
    policy = TracedPolicy(lambda _: verdict(ALLOWED))
    bench = Bench(policy, ledger=TracedLedger)
    assert isinstance(bench.ledger, TracedLedger)
    policy.trace = bench.ledger.trace = []
    bench.ledger.gate = asyncio.Event()
    return bench, overlapping(bench.point), policy.trace, bench.ledger.gate


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_the_trace_of_three_batches() -> None:
    bench, batcher, trace, gate = traced()
    tasks = []
    for _ in range(4):
        tasks.append(asyncio.create_task(batcher.submit([new_request()])))
        await settle()
    # One batch is committed, one is evaluated and waits for its turn, and the rest is parsed and waits.
    assert trace == ["evaluate 1", "evaluated 1", "commit 1", "evaluate 2", "evaluated 2"]
    assert batcher.depth == 2
    gate.set()
    await asyncio.gather(*tasks)
    assert trace[5:8] == ["committed 1", "commit 2", "evaluate 3"], "the third is evaluated while the second commits"
    assert [each for each in trace if each.startswith("committed")] == ["committed 1", "committed 2", "committed 3"]
    page = await bench.ledger.query_decisions(DecisionQuery(tenant="acme", page_size=100))
    assert len(page.decisions) == 4


async def test_closing_waits_for_the_batch_that_is_committed() -> None:
    _, batcher, trace, gate = traced()
    task = asyncio.create_task(batcher.submit([new_request()]))
    await settle()
    closing = asyncio.create_task(batcher.close())
    await settle()
    assert not closing.done()
    gate.set()
    await closing
    assert trace[-1] == "committed 1"
    assert len(await task) == 1


async def test_a_policy_that_is_replaced_while_a_batch_waits_for_its_turn_decides_it() -> None:
    bench, batcher, trace, gate = traced()
    tasks = [asyncio.create_task(batcher.submit([new_request()]))]
    await settle()
    tasks.append(asyncio.create_task(batcher.submit([new_request()])))
    await settle()
    newer = replace(bench.policy, revision="r-new")
    newer.trace = trace  # type: ignore[attr-defined]
    newer.say = lambda _: verdict(ALLOWED, revision="r-new")
    bench.source.policy = newer
    gate.set()
    [first], [second] = [await task for task in tasks]
    assert isinstance(first, Decision)
    assert isinstance(second, Decision)
    assert second.policy_revision == "r-new"
    assert "evaluate 3" in trace


async def test_a_hot_budget_causes_no_contention() -> None:
    env = DecisionEnv(budget(limit=LIMIT))
    ledger = SlowLedger(env.ledger)
    batcher = overlapping(replace(env.point, ledger=ledger))
    decisions: list[Decision] = []

    async def call(requests: int) -> None:
        for _ in range(requests):
            [answer] = await batcher.submit([new_request("pay")])
            assert isinstance(answer, Decision)
            decisions.append(answer)

    await asyncio.gather(*(call(4) for _ in range(CALLERS)))
    ids = {decision.rule_id for decision in decisions}
    assert rule_ids.CONTENTION not in ids
    assert sum(decision.effect.value == "allow" for decision in decisions) == LIMIT
    assert ids == {"tools.listed", "budgets.b"}
    assert ledger.conflicts > 0, "the last batch did not know what the one before it took"


async def test_one_key_in_two_batches_is_decided_once() -> None:
    bench, batcher, _, gate = traced()
    request = new_request()
    first = asyncio.create_task(batcher.submit([request]))
    await settle()
    second = asyncio.create_task(batcher.submit([request]))
    await settle()
    gate.set()
    [one], [other] = await first, await second
    assert one == other
    page = await bench.ledger.query_decisions(DecisionQuery(tenant="acme", page_size=100))
    assert len(page.decisions) == 1
