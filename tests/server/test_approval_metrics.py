"""The metrics of approvals and of watch streams."""

from __future__ import annotations

import structlog

from placet.server.observer import ServerObserver
from placet.server.parts.approvals import build_approvals
from placet.telemetry.metrics import Metrics
from tests.support.approval_env import ONE_LEAD, ApprovalEnv, vote_command


async def test_metrics_count_open_approvals_and_subscriptions() -> None:
    env = ApprovalEnv(ONE_LEAD)
    metrics = Metrics()
    observer = ServerObserver(structlog.stdlib.get_logger(), metrics, env.clock)
    parts = build_approvals(env.ledger, env.source, env.clock, observer, notify=False)

    async def shown() -> tuple[float | None, float | None]:
        await parts.count()
        values = metrics.registry.get_sample_value
        return values("placet_open_approvals"), values("placet_watchers")

    assert await shown() == (0, 0)
    first, second = await env.pending_approval(), await env.pending_approval(run={"run_id": "another"})
    subscription = await parts.hub.subscribe([("acme", "")])
    assert await shown() == (2, 1)
    parts.hub.unsubscribe(subscription)
    await env.approvals.reject(vote_command(first, reason="no"))
    await env.approvals.approve(vote_command(second))
    assert await shown() == (1, 0)
    await env.ask(approval_id=second.approval_id, run={"run_id": "another"})
    assert await shown() == (0, 0)
