"""`placet audit events`: records with actor and reason, from the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from placet.audit.access_records import access_refused_commitment
from placet.budgets.records import budget_adjusted
from placet.commands.four_eyes import ChangeCommand, ChangeKind, ControlRequest
from placet.controls.kill_switches.model import KillScope, KillSwitch
from placet.controls.kill_switches.records import switch_set
from placet.kernel.model import Caller
from placet.kernel.state import CounterKey
from placet.signing.keys import PublicKeys, load_or_create_signing_key
from placet.storage.postgres.backend import PostgresLedger
from placet.storage.sqlite.backend import SqliteLedger
from tests.storage.making import START_US, TickingClock, commitment

if TYPE_CHECKING:
    from pathlib import Path

    from placet.storage.ledger import ThreadedLedger
    from tests.cli.conftest import Placet

MINUTE_US = 60_000_000


async def record(ledger: ThreadedLedger) -> None:
    """A decision, a global switch a minute later, and a corrected counter another minute later."""
    switch = KillSwitch("ks_1", KillScope.TOOL, "", "stripe.*", "refunds run wild", "ann", START_US)
    counter = CounterKey("acme", "refunds", "amount:USD", "2026-04-24", "customer:c_1")
    wish = ChangeCommand(ChangeKind.BUDGET_ADJUST, "acme", "refunds", "-4500", "bob", "reversed")
    await ledger.commit(
        [
            commitment(1),
            switch_set(switch, Caller(), START_US + MINUTE_US, ()),
            budget_adjusted(counter, -4_500, wish, None, START_US + 2 * MINUTE_US, ()),
        ]
    )
    await ledger.close()


@pytest.fixture
def trail(empty_folder: Path) -> Path:
    folder = empty_folder / ".placet"
    key = load_or_create_signing_key(folder / "keys")
    ledger = SqliteLedger.open(folder / "placet.db", writer="placet", signing_key=key, clock=TickingClock())
    asyncio.run(record(ledger))
    return folder


def kinds(document: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    return [each["body"]["kind"] for each in document["records"]]


def test_events_have_actor_and_reason_newest_first(placet: Placet, trail: Path) -> None:
    ran = placet("audit", "events", "--data-dir", trail)
    header, corrected, was_set, decided = ran.out.splitlines()
    assert header.split() == ["recorded_at", "kind", "tenant", "who", "what", "why"]
    assert all(word in corrected for word in ("budget.adjusted", "acme", "bob", "amount=-4500", "reversed"))
    assert all(word in was_set for word in ("kill_switch.set", "ann", "value=stripe.*", "refunds run wild"))
    assert "decision.made" in decided


async def one_more_switch(folder: Path, reason: str) -> None:
    """Set a switch later than all other records."""
    key = load_or_create_signing_key(folder / "keys")
    ledger = SqliteLedger.open(folder / "placet.db", writer="placet", signing_key=key, clock=TickingClock())
    switch = KillSwitch("ks_2", KillScope.TOOL, "", "jira.*", reason, "ann", START_US)
    await ledger.commit([switch_set(switch, Caller(), START_US + 24 * 60 * MINUTE_US, ())])
    await ledger.close()


def test_the_table_cuts_long_values(placet: Placet, trail: Path) -> None:
    reason = "because " * 40
    asyncio.run(one_more_switch(trail, reason))
    output = placet("audit", "events").out
    assert "because bec…" in output
    assert max(map(len, output.splitlines())) < 240
    assert (
        placet("audit", "events", "-n", "1", "-o", "json").document["records"][0]["parts"]["control"]["reason"]
        == reason
    )


def test_as_json_with_body_and_parts(placet: Placet, trail: Path) -> None:
    (record,) = placet("audit", "events", "--kind", "kill_switch.set", "-o", "json").document["records"]
    assert record["body"]["kill_switch_id"] == "ks_1"
    assert record["parts"]["control"] == {"value": "stripe.*", "actor": "ann", "reason": "refunds run wild"}
    assert record["recorded_at"].endswith("Z")
    assert trail.exists()


async def of_authenticated_callers(folder: Path) -> None:
    """Write a correction that a person requested and another one made, and a refused call of a program."""
    key = load_or_create_signing_key(folder / "keys")
    ledger = SqliteLedger.open(folder / "placet.db", writer="placet", signing_key=key, clock=TickingClock())
    counter = CounterKey("acme", "refunds", "calls", "2026-04-24", "tenant")
    second = Caller("https://id.example.com|cy", "", "jwt", "https://id.example.com")
    wish = ChangeCommand(ChangeKind.BUDGET_ADJUST, "acme", "refunds", "-1", "cy", 'said "actor":"bob"', second)
    first = ControlRequest("req_1", "dana", "mended", START_US)
    program = Caller("ci", "", "token")
    await ledger.commit(
        [
            budget_adjusted(counter, -1, wish, first, START_US, ()),
            access_refused_commitment("acme", program, "ipv4:192.0.2.1", "Authorize", "R", "no", 0, START_US),
        ]
    )
    await ledger.close()


def test_by_caller_and_person(placet: Placet, trail: Path) -> None:
    asyncio.run(of_authenticated_callers(trail))

    def listed(*more: str) -> list[str]:
        return kinds(placet("audit", "events", "-o", "json", *more).document)

    assert listed("--caller", "ci") == ["access.refused"]
    assert listed("--caller", "https://id.example.com|cy") == ["budget.adjusted"]
    assert listed("--person", "cy") == listed("--person", "dana") == ["budget.adjusted"]
    assert listed("--person", "bob") == ["budget.adjusted"], "not the one whose reason quotes it"
    assert len(listed("--caller", "unauthenticated")) == 3
    assert listed("--caller", "ci", "--person", "cy") == []
    table = placet("audit", "events", "--caller", "ci").out
    assert " ci " in table
    assert "caller_method" not in table


@pytest.mark.usefixtures("trail")
def test_by_tenant_kind_time_and_number(placet: Placet) -> None:
    def listed(*more: str) -> list[str]:
        return kinds(placet("audit", "events", "-o", "json", *more).document)

    assert listed("--tenant", "acme") == ["budget.adjusted", "decision.made"]
    assert listed("--tenant", "globex") == []
    assert listed("--kind", "kill_switch.set", "--kind", "decision.made") == ["kill_switch.set", "decision.made"]
    assert listed("-n", "1") == ["budget.adjusted"]
    newest = placet("audit", "events", "-n", "1", "-o", "json").document["records"][0]["recorded_at"]
    assert listed("--from", newest) == ["budget.adjusted"]
    assert listed("--tenant", "acme", "--kind", "kill_switch.set", "--from", newest) == []


def test_wrong_usage(placet: Placet, trail: Path) -> None:
    unknown = placet("audit", "events", "--kind", "kill_swich.set")
    assert (unknown.code, unknown.out) == (2, "")
    assert "'kill_swich.set' is not a kind of record; did you mean kill_switch.set?" in unknown.complaint
    assert "is not a time" in placet("audit", "events", "--from", "yesterday").complaint
    assert "there is no database" in placet("audit", "events", "--data-dir", trail / "none").complaint


def test_on_postgresql(placet: Placet, postgres_url: str, tmp_path: Path) -> None:
    key = load_or_create_signing_key(tmp_path / "keys")
    ledger = PostgresLedger.open(postgres_url, writer="a", signing_key=key, keys=PublicKeys.of(), clock=TickingClock())
    asyncio.run(record(ledger))
    more = ["--tenant", "acme", "--kind", "budget.adjusted", "--from", "2020-01-01", "-o", "json"]
    ran = placet("audit", "events", "--database-url", postgres_url, *more)
    assert kinds(ran.document) == ["budget.adjusted"]
