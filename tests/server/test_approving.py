"""What the metrics say of approvals and of those who watch."""

from __future__ import annotations

import structlog

from placet.server.approvals import build_approvals
from placet.server.observer import ServerObserver
from placet.telemetry.metrics import Metrics
from tests.support.approving import ONE_LEAD, ApprovalEnv, word


async def test_open_approvals_and_watchers_are_shown() -> None:
    env = ApprovalEnv(ONE_LEAD)
    metrics = Metrics()
    reporter = ServerObserver(structlog.stdlib.get_logger(), metrics, env.clock)
    asked = build_approvals(env.ledger, env.source, env.clock, reporter, notify=False)

    async def shown() -> tuple[float | None, float | None]:
        await asked.count()
        values = metrics.registry.get_sample_value
        return values("placet_open_approvals"), values("placet_watchers")

    assert await shown() == (0, 0)
    first, second = await env.asked(), await env.asked(run={"run_id": "another"})
    watcher = await asked.hub.watch([("acme", "")])
    assert await shown() == (2, 1)
    asked.hub.leave(watcher)
    await env.approvals.reject(word(first, reason="no"))
    await env.approvals.approve(word(second))
    assert await shown() == (1, 0)
    await env.ask(approval_id=second.approval_id, run={"run_id": "another"})
    assert await shown() == (0, 0)
