"""Fills a ledger with many past decisions and many open approvals.

The first decisions and all approvals go through the ledger's own commits. The other decisions are copies of these in
SQL, of another writer, so they need no chain: a million take seconds instead of a quarter of an hour.
"""

from __future__ import annotations

import contextlib
import sqlite3
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
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from placet.audit.records import Commitment

TEMPLATES = 10_000
"""Decisions that are committed and then copied."""
COPYING = "fill"
"""The writer of the copies."""
OF_A_COPY = {"writer": ":writer", "sequence": "sequence + :first"}
OTHER_ID = {"decision_id": "decision_id || '-' || :first"}
COPIED = {
    "audit_records": OF_A_COPY | OTHER_ID | {"run_id": "run_id || '-' || :first"},
    "audit_parts": OF_A_COPY,
    "idempotency_keys": OF_A_COPY | OTHER_ID | {"idempotency_key": "idempotency_key || '-' || :first"},
}
"""Table -> the columns that differ in a copy."""
CHOSEN = """(tenant, writer, sequence) IN (
    SELECT tenant, writer, sequence FROM audit_records
    WHERE kind = 'decision.made' AND writer <> :writer ORDER BY sequence LIMIT :count)"""
TOGETHER = 1_000
"""Commitments in one transaction."""
DAY_US = 86_400_000_000
USERS = 5_000
CALLS_OF_A_RUN = 8


async def fill(data_dir: Path, decisions: int, approvals: int, database_url: str = "", replica: str = "placet") -> None:
    """Add `decisions` allows, then `approvals` open approvals, to the ledger of a server that is not running.

    They are decisions on the benchmark's request, from many users and runs, made within the last day.
    """
    clock, keys = SystemClock(), data_dir / "keys"
    database = choose_database(database_url, data_dir / "placet.db")
    ledger = database.open(replica, load_or_create_signing_key(keys), load_public_keys(keys), clock, log_error)
    now_us = clock.wall_us()
    first_us = now_us - DAY_US
    request = ParseDict(REQUEST, authorization_pb2.AuthorizeRequest())
    pending: list[Commitment] = []
    templates = min(decisions, TEMPLATES) if not database_url else decisions
    for number in range(templates):
        pending.append(
            _allowed(
                _variant(request, f"fill-{number:09d}", number), first_us + number * DAY_US // (templates + approvals)
            )
        )
        if len(pending) == TOGETHER:
            await ledger.commit(pending)
            pending = []
    for commitment in _waiting(request, approvals, now_us):
        pending.append(commitment)
        if len(pending) == TOGETHER:
            await ledger.commit(pending)
            pending = []
    await ledger.commit(pending)
    await ledger.checkpoint()
    await ledger.close()
    if decisions > templates:
        _copy(data_dir / "placet.db", decisions - templates)


def _copy(path: Path, count: int) -> None:
    """Add `count` copies of decisions to a SQLite database, each with ids, a key and a run of its own."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for table, changed in COPIED.items():
            columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(changed.get(name, f'"{name}"') for name in columns)
            statement = f"INSERT INTO {table} SELECT {values} FROM {table} WHERE {CHOSEN}"  # noqa: S608 - our own text
            for first in range(0, count, TEMPLATES):
                parameters = {"first": first, "count": min(TEMPLATES, count - first), "writer": COPYING}
                connection.execute(statement, parameters)


def _variant(message: authorization_pb2.AuthorizeRequest, key: str, number: int) -> Proposal:
    """Return the request with another key, from another user in another run. Changes the message."""
    message.idempotency_key = key
    message.identity.user = f"u_{number % USERS}"
    message.run.run_id = f"run_fill_{number // CALLS_OF_A_RUN}"
    return parse_request(message)


def _allowed(proposal: Proposal, decided_at_us: int) -> Commitment:
    finding = Finding(Effect.ALLOW, "refunds.small", "Small refunds need no person", {"limit_minor_units": 5_000})
    return _commitment(_decision(proposal, finding, decided_at_us), proposal)


def _waiting(request: authorization_pb2.AuthorizeRequest, count: int, now_us: int) -> Iterator[Commitment]:
    """Yield decisions that require approval, each with its open approval."""
    finding = Finding(Effect.REQUIRE_APPROVAL, "refunds.large", "Large refunds need a person", {"quorum": 1})
    for number in range(count):
        proposal = _variant(request, f"wait-{number:09d}", number)
        decision = _decision(proposal, finding, now_us)
        approval_id = approval.approval_id_of(decision.decision_id)
        requirement = ApprovalRequirement(1, ("support_lead",), approval_id, now_us + DAY_US)
        decision = replace(decision, approval=requirement)
        opened = approval.open_approval(decision, Caller(), proposal, _input(proposal, now_us))
        yield replace(
            _commitment(decision, proposal),
            subject=approval_id,
            changes=(PutIfVersion(approval.to_row(opened)),),
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
    replayable = True
    return decision_commitment(decision, proposal, Caller(), _input(proposal, decision.decided_at_us), replayable, "")


def _input(proposal: Proposal, now_us: int) -> bytes:
    return policy_input(proposal.document, base_facts(ToolClass.WRITE), rfc3339(now_us))
