"""The pages about the audit trail list record kinds and problem kinds, and their verification by hand works."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus, RecordedOutcome
from placet.audit import decision_codec as record_codec
from placet.audit.access_records import access_refused_commitment
from placet.audit.chain import SALT_BYTES
from placet.audit.control_record import trail_restarted
from placet.audit.records import Commitment, RecordKind
from placet.audit.trail_break import BreakKind, TrailBreak
from placet.audit.verification.problems import PROBLEMS
from placet.budgets.excess import decided, held_excess
from placet.budgets.give_backs import GiveBackBounds, GiveBacks
from placet.budgets.holds import Excess, Hold
from placet.budgets.model import Unreported
from placet.budgets.records import budget_adjusted
from placet.budgets.reservations import Reservation, ReservationState, Settlement
from placet.commands.four_eyes import ChangeCommand, ChangeKind, ControlRequest
from placet.commands.records import control_refused, control_requested
from placet.controls.autonomy.records import autonomy_set
from placet.controls.kill_switches.model import KillScope, KillSwitch
from placet.controls.kill_switches.records import switch_cleared, switch_set
from placet.kernel.errors import FieldViolation
from placet.kernel.limits import CHECKPOINT_RECORDS_MAX
from placet.kernel.model import Caller
from placet.kernel.state import CounterKey
from placet.keys.model import StoredKey
from placet.keys.records import key_created
from placet.outcomes.records import excess_decided, outcome_commitment, reservation_expired_commitment
from placet.permits.revocations import permit_revoked
from placet.privacy.detectors import DETECTORS
from placet.privacy.redaction import UNSCREENED
from placet.privacy.value_walk import SENSITIVE
from placet.revisions import status as policy_status
from placet.revisions.pushed import Pusher
from placet.revisions.records import policy_confirmed
from placet.signing.keys import load_or_create_signing_key
from placet.storage.sql.schema import metadata
from placet.storage.sqlite.backend import SqliteLedger
from placet.tokens.model import AccessToken
from placet.tokens.records import token_created, token_revoked
from tests.docs.blocks import Block, blocks
from tests.docs.tables import DOCS, by_name, rows
from tests.storage.making import TickingClock, commitment

if TYPE_CHECKING:
    from pathlib import Path

PAGE = DOCS / "concepts/audit.md"
FORMAT = DOCS / "reference/audit-format.md"
VERIFY = DOCS / "how-to/verify-audit.md"
DECISIONS = 12
NOW_US = 1_777_055_581_000_000


def by_hand(language: str) -> Block:
    lines = VERIFY.read_text().splitlines()
    [block] = [block for block in blocks(VERIFY) if lines[block.line - 1] == f"```{language} by hand"]
    return block


def control_records() -> list[Commitment]:
    token = AccessToken("tok_1", "ci", "0" * 64, (), "", (), "ann", NOW_US, NOW_US)
    switch = KillSwitch("ks_1", KillScope.TENANT, "acme", "", "mended", "ann", NOW_US)
    wish = ChangeCommand(ChangeKind.AUTONOMY_SET, "acme", "aut_1", "execute", "ann", "mended")
    counter = CounterKey("acme", "refunds", "calls", "2026-04-24", "tenant")
    held = Reservation("acme", "dec_1", "me", "pay", "bot", "u", "r", "w", (), ReservationState.HELD, NOW_US, NOW_US)
    excess = held_excess(held, (Excess(counter, 5, NOW_US),), NOW_US)
    reasons = policy_status.Hold(("acme.yaml: lost",), "", Pusher("token:ann", "ann"), needs_people=True)
    served = policy_status.PolicyStatus(ready=True, engine_mode=policy_status.EngineMode.MANAGED, revision="r1")
    held_policy = served.with_held("r2", reasons, NOW_US)
    return [
        permit_revoked("acme", "dec_1", "ks_1", "kill_switch.tool", "ann", "mended", NOW_US),
        switch_set(switch, Caller(), NOW_US, ()),
        switch_cleared(switch, wish, None, NOW_US, ()),
        autonomy_set(None, wish, None, NOW_US, ()),
        budget_adjusted(counter, 1, wish, None, NOW_US, ()),
        excess_decided(decided(excess, accept=True), wish, NOW_US, ()),
        excess_decided(decided(excess, accept=False), wish, NOW_US, ()),
        control_requested(wish, ControlRequest("req_1", "ann", "mended", NOW_US), NOW_US, ()),
        control_refused(wish, "NOT_FOUND", NOW_US),
        token_created(token, wish, ()),
        token_revoked(token, wish, NOW_US, ()),
        key_created(StoredKey("k1", 1_777_055_581, "kek"), (), wish, NOW_US, ()),
        trail_restarted(TrailBreak(BreakKind.OLDER, "a", 9, "00" * 32, 7), "ann", "restored", NOW_US),
        policy_confirmed(wish, held_policy, None, NOW_US, ()),
    ]


def outcome_records() -> list[Commitment]:
    report = OutcomeReport(
        "acme", "dec_1", Caller("me"), Outcome(OutcomeStatus.FAILED, 942, 1, 2, 3, "TimeoutError", "ab" * 32)
    )
    taken = RecordedOutcome(
        report.outcome, report.outcome.content_digest(), late=True, exceeded_budget_ids=("b",), taken_at_us=NOW_US
    )
    held = Reservation("acme", "dec_1", "me", "pay", "bot", "u", "r", "w", (), ReservationState.HELD, NOW_US, NOW_US)
    counter = CounterKey("acme", "refunds", "calls", "2026-04-24", "tenant")
    excess = (Excess(counter, 5, NOW_US),)
    settlement = Settlement(held, (), late=True, exceeded_budget_ids=("b",), excess=excess)
    give_backs = GiveBacks(GiveBackBounds(), {}, None, executed=False, permit_valid=False)
    give_backs.give(Hold(counter, 5, 9, NOW_US, Unreported.COUNT), 5)
    return [
        outcome_commitment(report, taken, settlement, (), (), give_backs),
        reservation_expired_commitment(held, (), (), NOW_US, give_backs),
    ]


def one_record_of_each_kind() -> list[Commitment]:
    violations = [FieldViolation("action.tool", "is required")]
    return [
        commitment(1),
        record_codec.invalid_request_commitment("acme", Caller(), "Authorize", violations, NOW_US),
        access_refused_commitment("", Caller(), "ipv4:192.0.2.1", "Authorize", "CREDENTIAL_MISSING", "no", 0, NOW_US),
        record_codec.policy_activated_commitment("r1", "1.2.3", 2, NOW_US, "", "ann"),
        record_codec.policy_refused_commitment("r1", ["wrong"], NOW_US),
        record_codec.server_started_commitment("0.1.0", "key", NOW_US),
        record_codec.server_stopped_commitment("0.1.0", "stopped", NOW_US),
        record_codec.keys_purged_commitment(NOW_US, 3, NOW_US),
        record_codec.policy_held_commitment("r1", "r2", ["acme.yaml: lost"], NOW_US, "ann"),
        *outcome_records(),
        *control_records(),
    ]


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    """A data directory with a trail of some records and two checkpoints."""
    key = load_or_create_signing_key(tmp_path / "keys")
    errors: list[BaseException] = []
    ledger = SqliteLedger.open(
        tmp_path / "placet.db", writer="placet", signing_key=key, clock=TickingClock(), on_error=errors.append
    )
    try:
        await ledger.commit(one_record_of_each_kind()[4:5])
        await ledger.commit([commitment(number) for number in range(1, DECISIONS)])
        await ledger.checkpoint()
        await ledger.commit([commitment(DECISIONS)])
        await ledger.checkpoint()
    finally:
        await ledger.close()
    assert not errors
    return tmp_path


def chain_by_hand(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", by_hand("python").text]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_every_marker_has_its_row() -> None:
    documented = {name for row in rows(PAGE, "Redaction") for name in re.findall(r"\w+", row[0])}
    markers = {marker[len("[redacted:") : -1] for marker in (SENSITIVE, UNSCREENED)}
    assert documented == {detector.name for detector in DETECTORS} | markers


def test_every_record_kind_has_its_row_with_what_it_holds() -> None:
    documented = {
        kind: (re.findall(r"\w+", row[1]), re.findall(r"\w+", row[2]))
        for kind, row in by_name(FORMAT, "Record kinds").items()
    }
    written = {record.kind.value: (list(record.fields), list(record.parts)) for record in one_record_of_each_kind()}
    assert {kind: documented[kind] for kind in written} == written
    assert documented.keys() == {kind.value for kind in RecordKind}


def test_every_problem_kind_has_its_row_and_no_other() -> None:
    documented = {kind: row[0] for kind, row in by_name(FORMAT, "Problem kinds").items()}
    assert documented == {kind.value: sentence for kind, sentence in PROBLEMS.items()}


def test_every_table_of_the_database_has_its_row() -> None:
    documented = by_name(FORMAT, "Tables")
    assert documented.keys() == metadata.tables.keys()
    for table, row in documented.items():
        named = set(re.findall(r"`(\w+)`", row[0])) & set(metadata.tables[table].columns.keys())
        assert named or table == "idempotency_keys", table


def test_figures() -> None:
    text = PAGE.read_text()
    assert f"{SALT_BYTES} random bytes of salt" in text
    assert f"every {CHECKPOINT_RECORDS_MAX:,} records" in text


def test_the_chain_verifies_by_hand(data_dir: Path) -> None:
    done = chain_by_hand(data_dir)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{DECISIONS + 1} records\n"


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_records SET body = replace(body, 'jira.search', 'jira.delete') WHERE sequence = 4",
        "UPDATE audit_parts SET content = content || ' ' WHERE sequence = 4 AND name = 'input'",
        "DELETE FROM audit_records WHERE sequence = 1",
        "DELETE FROM audit_records WHERE sequence = 7",
        "DELETE FROM audit_records WHERE sequence = (SELECT max(sequence) FROM audit_records)",
        "DELETE FROM audit_parts WHERE sequence = 4 AND name = 'input'",
        "UPDATE audit_records SET sequence = CASE sequence WHEN 5 THEN 906 ELSE 905 END WHERE sequence IN (5, 6)",
        "UPDATE audit_records SET hash = zeroblob(32) WHERE sequence = 4",
    ],
)
def test_tampering_is_found_by_hand(data_dir: Path, tampering: str) -> None:
    with sqlite3.connect(data_dir / "placet.db") as database:
        assert database.execute(tampering).rowcount > 0
    database.close()
    assert chain_by_hand(data_dir).returncode != 0


def test_signatures_verify_by_hand(data_dir: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.fail("no openssl on PATH. Remedy: apt-get install openssl")
    assert chain_by_hand(data_dir).returncode == 0
    signatures = sorted(data_dir.glob("checkpoint-*.signature"))
    assert len(signatures) == 2
    command = ["sh", "-c", by_hand("sh").text]
    done = subprocess.run(command, cwd=data_dir, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    signatures[0].write_bytes(signatures[1].read_bytes())
    done = subprocess.run(command, cwd=data_dir, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
