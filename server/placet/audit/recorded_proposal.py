"""Who did what, by the record of a decision: as much of the proposal as a kill switch looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from placet.kernel.model import Action, Identity, Model, Proposal, Run

if TYPE_CHECKING:
    from placet.audit.records import RecordedDecision


def recorded_proposal(recorded: RecordedDecision) -> Proposal:
    """The proposal that was decided, with its tool, tenant, agent, delegation, run and workflow, and nothing else."""
    said = orjson.loads(recorded.input_json)
    identity = Identity(
        said["identity"]["agent"],
        recorded.tenant,
        said["identity"]["user"],
        delegation=tuple(said["identity"]["delegation"]),
    )
    run = Run(run_id=said["run"]["run_id"], workflow=said["run"]["workflow"])
    return Proposal(
        idempotency_key="",
        action=Action(said["action"]["tool"], b"{}"),
        identity=identity,
        run=run,
        model=Model(),
        evidence=(),
        document=b"{}",
        action_digest=recorded.decision.action_digest,
        request_digest="",
    )
