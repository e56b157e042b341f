"""Builders of proposals, tenant policies and budgets, for tests of budgets and controls."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from placet.kernel.model import Action, Amount, Identity, Model, Proposal, Run
from placet.tenants.policy import TenantPolicy


def at(text: str) -> int:
    """Return an RFC 3339 time as microseconds since the epoch."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return round(moment.timestamp() * 1_000_000)


def proposal(
    tool: str = "pay",
    *,
    params: object = None,
    amount: tuple[int, str] | None = None,
    dry_run: bool = False,
    environment: str = "",
    agent: str = "bot",
    user: str = "u_1",
    tenant: str = "acme",
    delegation: tuple[str, ...] = (),
    run_id: str = "r_1",
    workflow: str = "refunds",
    tokens: int = 0,
    cost_micros: int = 0,
) -> Proposal:
    money = Amount(amount[1], amount[0]) if amount else None
    params_json = json.dumps({} if params is None else params).encode()
    return Proposal(
        idempotency_key="k",
        action=Action(tool, params_json, money, environment=environment, dry_run=dry_run),
        identity=Identity(agent, tenant, user, delegation=delegation),
        run=Run(run_id=run_id, workflow=workflow),
        model=Model(input_tokens=tokens, estimated_cost_micros=cost_micros),
        evidence=(),
        document=b"{}",
        action_digest="",
        request_digest="",
    )


def policy(**sections: Any) -> TenantPolicy:
    return TenantPolicy.model_validate(
        {"allowed_tools": ["look"], "write_tools": ["pay", "pay.out", "mail"], **sections}
    )


def budget(**fields: Any) -> dict[str, Any]:
    return {"id": "b", "scope": "tenant", "measure": "calls", "limit": 10, "window": "day", **fields}
