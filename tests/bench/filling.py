"""Fills a ledger with many past decisions and many open approvals.

The first decisions and approvals go through the ledger's own commits. The others are copies of these in SQL, of another
writer, so they need no chain. Indexes are made at the end, from sorted rows.
"""

from __future__ import annotations

import contextlib
import sqlite3
from itertools import islice
from typing import TYPE_CHECKING, Final

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

TEMPLATES: Final = 5_000
"""Decisions, and approvals, that are committed and then copied."""
OF_A_COPY: Final = {"writer": ":writer", "sequence": "sequence + :first"}
OTHER_ID: Final = {"decision_id": "decision_id || '-' || :first"}
OTHER_NAMES: Final = {"run_id": "run_id || '-' || :first", "subject": "subject || '-' || :first"}
COPIED: Final = {
    "audit_records": OF_A_COPY | OTHER_ID | OTHER_NAMES,
    "audit_parts": OF_A_COPY,
    "idempotency_keys": OF_A_COPY | OTHER_ID | {"idempotency_key": "idempotency_key || '-' || :first"},
    "approvals": {"id": "id || '-' || :first", "created_at_us": "created_at_us - :first"},
}
"""Table -> the columns that differ in a copy."""
TEMPLATE_ROWS: Final = {
    "audit_records": "kind = 'decision.made' AND writer = 'placet' AND (subject IS NOT NULL) = :approvals",
    "audit_parts": "(tenant, writer, sequence) IN (SELECT tenant, writer, sequence FROM temp.audit_records)",
    "idempotency_keys": "decision_id IN (SELECT decision_id FROM temp.audit_records)",
    "approvals": "id IN (SELECT subject FROM temp.audit_records)",
}
"""Table -> its rows that are copied."""
FAST: Final = ("locking_mode=EXCLUSIVE", "journal_mode=OFF", "synchronous=OFF", "cache_size=-262144", "threads=2")
"""Settings of the copying connection: a database whose copying fails is thrown away."""
TOGETHER: Final = 1_000
"""Commitments in one transaction."""
DAY_US: Final = 86_400_000_000
USERS: Final = 5_000
CALLS_OF_A_RUN: Final = 8


async def fill(data_dir: Path, decisions: int, approvals: int) -> None:
    """Add `decisions` allows, then `approvals` open approvals, to the SQLite ledger of a server that is not running.

    They are decisions on the benchmark's request, from many users and runs, made within the last day. More than
    TEMPLATES are rounded up to a multiple of it.
    """
    clock, keys = SystemClock(), data_dir / "keys"
    path = data_dir / "placet.db"
    signing_key = load_or_create_signing_key(keys)
    ledger = choose_database("", path).open("placet", signing_key, load_public_keys(keys), clock, log_error)
    commitments = _commitments(min(decisions, TEMPLATES), min(approvals, TEMPLATES), clock.wall_us())
    while pending := list(islice(commitments, TOGETHER)):
        await ledger.commit(pending)
    await ledger.checkpoint()
    await ledger.close()
    _copy(path, decisions, approvals)


def _commitments(decisions: int, approvals: int, now_us: int) -> Iterator[Commitment]:
    request = ParseDict(REQUEST, authorization_pb2.AuthorizeRequest())
    for number in range(decisions):
        decided_at_us = now_us - DAY_US + number * DAY_US // decisions
        yield _allowed(_variant(request, f"fill-{number:09d}", number), decided_at_us)
    yield from _waiting(request, approvals, now_us)


def _copy(path: Path, decisions: int, approvals: int) -> None:
    """Copy the templates until there are enough, each copy with ids, a key and a run of its own."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in FAST:
            connection.execute(f"PRAGMA {setting}").fetchall()
        made = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        indexes = [(name, sql) for name, table, sql in connection.execute(made).fetchall() if table in COPIED]
        for name, _ in indexes:
            connection.execute(f'DROP INDEX "{name}"')
        for wanted, of_approvals in ((decisions, False), (approvals, True)):
            if wanted > TEMPLATES:
                _copy_templates(connection, wanted, of_approvals=of_approvals)
        for _, sql in indexes:
            connection.execute(sql)
        connection.execute("PRAGMA journal_mode=WAL").fetchall()


def _copy_templates(connection: sqlite3.Connection, wanted: int, *, of_approvals: bool) -> None:
    for table, condition in TEMPLATE_ROWS.items():
        connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
        statement = f"CREATE TEMP TABLE {table} AS SELECT * FROM main.{table} WHERE {condition}"  # noqa: S608 - our own text
        connection.execute(statement.replace(":approvals", str(int(of_approvals))))
    writer = f"fill-{'approvals' if of_approvals else 'decisions'}"
    for first in range(TEMPLATES, wanted, TEMPLATES):
        connection.execute("BEGIN")
        for table, changed in COPIED.items():
            columns = [name for _, name, *_ in connection.execute(f"PRAGMA main.table_info({table})")]
            values = ", ".join(changed.get(name, f'"{name}"') for name in columns)
            statement = f"INSERT INTO main.{table} SELECT {values} FROM temp.{table}"  # noqa: S608 - likewise
            connection.execute(statement, {"first": first, "writer": writer})
        connection.execute("COMMIT")


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
