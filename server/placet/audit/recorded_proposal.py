"""Rebuilds the parts of a proposal that kill switches match from the record of its decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from placet.kernel.model import Action, Identity, Model, Proposal, Run

if TYPE_CHECKING:
    from placet.audit.records import RecordedDecision


def recorded_proposal(recorded: RecordedDecision) -> Proposal:
    """Return the decided proposal with only its tool, tenant, agent, user, delegation, run and workflow."""
    body = orjson.loads(recorded.input_json)
    identity = Identity(
        body["identity"]["agent"],
        recorded.tenant,
        body["identity"]["user"],
        delegation=tuple(body["identity"]["delegation"]),
    )
    run = Run(run_id=body["run"]["run_id"], workflow=body["run"]["workflow"])
    return Proposal(
        idempotency_key="",
        action=Action(body["action"]["tool"], b"{}"),
        identity=identity,
        run=run,
        model=Model(),
        evidence=(),
        document=b"{}",
        action_digest=recorded.decision.action_digest,
        request_digest="",
    )
