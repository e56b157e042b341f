"""Who sends much waits for itself: another's action waits at most for the piece that is under way."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import structlog

from placet.audit.records import DecisionQuery
from placet.kernel.limits import QUEUE_TURN_ACTIONS, QUEUE_TURN_BYTES
from placet.kernel.model import Decision
from placet.scheduling.fair_queue import Flow
from placet.server.ledger_clock import LedgerClock
from placet.server.observer import ServerObserver
from placet.server.parts.decisions import build_decisions
from placet.telemetry.metrics import Metrics
from tests.serving import settings
from tests.support.fakes import AGENT_POLICIES, Bench, FullLedger, ScriptedPolicy, new_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from placet.audit.records import Commitment, CommitResult
    from placet.decision.attempt import Request
    from placet.decision.replies import Answer
    from placet.kernel.model import Indeterminate, Verdict
    from placet.scheduling.batching import Batcher

POLICIES = {**AGENT_POLICIES, "globex": AGENT_POLICIES["open"]}
LARGE = "open"
"""The tenant that sends much; it redacts nothing, which would take most of the time here."""


@dataclass
class WatchedPolicy(ScriptedPolicy):
    """Keeps the agents and the bytes of each question, and has something happen within one of them."""

    questions: list[tuple[frozenset[str], int, int]] = field(default_factory=list)
    happens: dict[int, Callable[[], None]] = field(default_factory=dict)

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        agents = frozenset(json.loads(each)["identity"]["agent"] for each in inputs)
        number = len(self.questions)
        self.questions.append((agents, len(inputs), sum(map(len, inputs))))
        if number in self.happens:
            self.happens[number]()
            for _ in range(20):  # what begins now comes to where it waits
                await asyncio.sleep(0)
        return await super().evaluate(inputs)


class WatchedLedger(FullLedger):
    """Keeps how much each commit held."""

    def __init__(self, **said: object) -> None:
        super().__init__(**said)  # type: ignore[arg-type]
        self.commits: list[int] = []

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        self.commits.append(len(commitments))
        return await super().commit(commitments)


def path_of(folder: Path) -> tuple[Batcher[Request, Answer], WatchedPolicy, WatchedLedger]:
    """The decision path as the server puts it together."""
    policy = WatchedPolicy(agent_policies=POLICIES)
    bench = Bench(policy, ledger=WatchedLedger)
    assert isinstance(bench.ledger, WatchedLedger)
    reporter = ServerObserver(structlog.stdlib.get_logger(), Metrics(), bench.clock)
    made = build_decisions(settings(folder), LedgerClock(bench.clock, 0), bench.source, bench.ledger, reporter)
    return made.requests, policy, bench.ledger


def plan(actions: int, params_bytes: int, tenant: str = LARGE) -> list[Request]:
    """A batch, each action with a name of its own."""
    text = json.dumps({"a": "x" * params_bytes})
    changes = {"identity__agent": "large", "identity__tenant": tenant, "action__params_json": text}
    return [new_request(action__scope=f"s{number}", **changes) for number in range(actions)]


@pytest.mark.parametrize("arrives", [0, 1, 5])
@pytest.mark.parametrize(("tenant", "before"), [("globex", 1), (LARGE, 2)])
@pytest.mark.parametrize(("actions", "params_bytes"), [(100, 60_000), (100, 9_000), (40, 10)])
async def test_a_single_action_waits_for_one_piece_of_another_tenant_or_of_each_connection_before_it(
    tmp_path: Path, actions: int, params_bytes: int, tenant: str, before: int, arrives: int
) -> None:
    decisions, policy, _ = path_of(tmp_path)
    single = new_request(identity__agent="single", identity__tenant=tenant)
    waits: list[asyncio.Task[object]] = []

    async def ask() -> None:
        await decisions.submit([single], Flow(tenant, "two"))

    arrives = min(arrives, 2) if actions < 100 else arrives
    policy.happens[arrives] = lambda: waits.append(asyncio.create_task(ask()))
    batches = [decisions.submit(plan(actions, params_bytes), Flow(LARGE, caller)) for caller in ("one", "three")]
    waits += map(asyncio.create_task, batches)
    while waits:
        await waits.pop(0)
    asked_at = next(number for number, (agents, *_) in enumerate(policy.questions) if "single" in agents)
    others = policy.questions[arrives:asked_at]
    assert sum(count for _, count, _ in others) <= before * QUEUE_TURN_ACTIONS
    assert sum(size for _, _, size in others) <= before * QUEUE_TURN_BYTES


async def test_a_batch_in_pieces_is_answered_in_order_and_recorded_in_one_commit(tmp_path: Path) -> None:
    decisions, policy, ledger = path_of(tmp_path)
    between: list[asyncio.Task[Sequence[Answer]]] = []
    single = new_request(identity__agent="single", identity__tenant="globex")
    policy.happens[2] = lambda: between.append(asyncio.create_task(decisions.submit([single], Flow("globex", "two"))))
    requests = plan(50, 30_000)
    answers = await decisions.submit(requests, Flow(LARGE, "one"))
    assert len(policy.questions) > 10
    assert ledger.commits == [1, 50], "the single one first, though it came later"
    assert [each.action_digest for each in answers if isinstance(each, Decision)] == [
        request.proposal.action_digest for request in requests
    ]
    page = await ledger.query_decisions(DecisionQuery(tenant=LARGE, page_size=100))
    stored = [each.decision for each in sorted(page.decisions, key=lambda each: each.sequence)]
    assert stored == list(answers)
    [task] = between
    assert len(await task) == 1
    assert (await ledger.verify()).ok
