"""A ledger with a past: many decisions, many requests for approval that nobody answered. By its own commits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from google.protobuf.json_format import ParseDict

from placet.approvals import model as approval
from placet.audit.decision_codec import decision_commitment
from placet.controls.autonomy.model import AutonomyLevel
from placet.decision.policy_input import base_facts, policy_input
from placet.kernel.clock import rfc3339
from placet.kernel.model import ApprovalRequirement, Caller, Decision, Effect, Finding, Proposal, ToolClass
from placet.kernel.state import PutIfVersion
from placet.server.system import RandomIds, SystemClock
from placet.signing.keys import load_or_create_signing_key, load_public_keys
from placet.storage.database import choose_database
from placet.storage.ledger import log_error
from placet.transport.grpc.messages.from_proto import parse_request
from placet.v1 import authorization_pb2
from tests.bench.load import REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from placet.audit.records import Commitment

TOGETHER = 1_000
"""Commitments of one transaction."""
DAY_US = 86_400_000_000
USERS = 5_000
CALLS_OF_A_RUN = 8


async def fill(data_dir: Path, decisions: int, approvals: int, database_url: str = "", replica: str = "placet") -> None:
    """Put so many allows, then so many open approvals, into the ledger of a server that is not running.

    They are the benchmark's own request, of many users and runs, decided within the last day.
    """
    clock, keys = SystemClock(), data_dir / "keys"
    database = choose_database(database_url, data_dir / "placet.db")
    ledger = database.open(replica, load_or_create_signing_key(keys), load_public_keys(keys), clock, log_error)
    now_us = clock.wall_us()
    first_us = now_us - DAY_US
    asked = parse_request(ParseDict(REQUEST, authorization_pb2.AuthorizeRequest()))
    made: list[Commitment] = []
    for number in range(decisions):
        made.append(_allowed(_of(asked, number), first_us + number * DAY_US // (decisions + approvals)))
        if len(made) == TOGETHER:
            await ledger.commit(made)
            made = []
    for each in _waiting(asked, approvals, now_us):
        made.append(each)
        if len(made) == TOGETHER:
            await ledger.commit(made)
            made = []
    await ledger.commit(made)
    await ledger.checkpoint()
    await ledger.close()


def _of(asked: Proposal, number: int) -> Proposal:
    """The same from another user in another run."""
    return replace(
        asked,
        idempotency_key=f"fill-{number:09d}",
        identity=replace(asked.identity, user=f"u_{number % USERS}"),
        run=replace(asked.run, run_id=f"run_fill_{number // CALLS_OF_A_RUN}"),
    )


def _allowed(proposal: Proposal, decided_at_us: int) -> Commitment:
    finding = Finding(Effect.ALLOW, "refunds.small", "Small refunds need nobody", {"limit_minor_units": 5_000})
    return _commitment(_decision(proposal, finding, decided_at_us), proposal)


def _waiting(asked: Proposal, count: int, now_us: int) -> Iterator[Commitment]:
    """Decisions that ask for people, each with its request for approval."""
    finding = Finding(Effect.REQUIRE_APPROVAL, "refunds.large", "Large refunds need a person", {"quorum": 1})
    for number in range(count):
        proposal = replace(_of(asked, number), idempotency_key=f"wait-{number:09d}")
        decision = _decision(proposal, finding, now_us)
        wanted = ApprovalRequirement(
            1, ("support_lead",), approval.approval_id_of(decision.decision_id), now_us + DAY_US
        )
        decision = replace(decision, approval=wanted)
        request = approval.open_approval(decision, Caller(), proposal, _seen(proposal, now_us))
        yield replace(
            _commitment(decision, proposal),
            subject=wanted.approval_id,
            changes=(PutIfVersion(approval.to_row(request)),),
        )


def _decision(proposal: Proposal, finding: Finding, decided_at_us: int) -> Decision:
    return Decision(
        decision_id=RandomIds().decision_id(decided_at_us),
        effect=finding.effect,
        rule_id=finding.rule_id,
        reason=finding.reason,
        findings=(finding,),
        policy_revision="fill",
        action_digest=proposal.action_digest,
        received_at_us=decided_at_us,
        decided_at_us=decided_at_us,
        autonomy=AutonomyLevel.EXECUTE.value,
    )


def _commitment(decision: Decision, proposal: Proposal) -> Commitment:
    seen = _seen(proposal, decision.decided_at_us)
    return decision_commitment(decision, proposal, Caller(), seen, True, "")  # noqa: FBT003 - as it is handed on


def _seen(proposal: Proposal, now_us: int) -> bytes:
    return policy_input(proposal.document, base_facts(ToolClass.WRITE), rfc3339(now_us))
