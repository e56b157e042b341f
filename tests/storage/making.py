"""Builders of proposals, decisions and commitments for the storage tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.actions.canonical_json import digest
from placet.actions.document import canonical_request
from placet.audit.decision_codec import decision_commitment, invalid_request_commitment
from placet.decision.policy_input import base_facts, policy_input
from placet.kernel.clock import rfc3339
from placet.kernel.model import (
    Action,
    ApprovalRequirement,
    Caller,
    Decision,
    Effect,
    Evidence,
    Finding,
    Identity,
    Model,
    Obligation,
    Proposal,
    Run,
    ToolClass,
    UserProof,
)
from placet.storage.sqlite.backend import SqliteLedger
from tests.support.replacing import replace

if TYPE_CHECKING:
    from pathlib import Path

    from placet.audit.records import Commitment
    from placet.signing.keys import SigningKey

TABLES = ("audit_records", "audit_parts", "idempotency_keys", "audit_writers", "audit_checkpoints", "alembic_version")
START_US = 1_777_055_581_000_000


@dataclass
class TickingClock:
    """A clock that advances one second with each reading."""

    now_us: int = START_US

    def wall_us(self) -> int:
        self.now_us += 1_000_000
        return self.now_us

    def monotonic(self) -> float:
        return self.now_us / 1e6


def proposal(
    number: int, *, tenant: str = "acme", tool: str = "jira.search", run_id: str = "run_1", key: str | None = None
) -> Proposal:
    action = Action(tool, b'{"number":%d}' % number, scope="jira:read")
    identity = Identity("support-agent", tenant, f"u_{number % 3}", ("staff",))
    run = Run(run_id, "9f2d", number, "triage")
    model = Model("gpt-4.1", "v3", 812, 164, 4_000)
    evidence = (Evidence("https://docs.example/1"),)
    document = canonical_request(action, identity, run, model, evidence)
    name = f"key-{number}" if key is None else key
    return Proposal(name, action, identity, run, model, evidence, document, digest(b"a" + document), digest(document))


def decision(number: int, effect: Effect = Effect.ALLOW, decided_at_us: int = 0) -> Decision:
    rule_id = f"baseline.{effect}"
    return Decision(
        decision_id=f"dec_{number:032x}",
        effect=effect,
        rule_id=rule_id,
        reason="Because the rule says so",
        findings=(Finding(effect, rule_id, "Because the rule says so", {"limit": number}),),
        policy_revision="rev-1",
        action_digest="a" * 64,
        received_at_us=START_US + number,
        decided_at_us=decided_at_us or START_US + number * 10,
        approval=ApprovalRequirement(2, ("lead",)) if effect is Effect.REQUIRE_APPROVAL else None,
        obligations=(Obligation("log", {"level": "full"}),) if effect is Effect.ALLOW else (),
    )


def commitment(
    number: int,
    *,
    effect: Effect = Effect.ALLOW,
    tenant: str = "acme",
    tool: str = "jira.search",
    run_id: str = "run_1",
    key: str | None = None,
    caller: str = "unauthenticated",
    user_proof: UserProof | None = None,
    decided_at_us: int = 0,
) -> Commitment:
    request = replace(proposal(number, tenant=tenant, tool=tool, run_id=run_id, key=key), user_proof=user_proof)
    made = decision(number, effect, decided_at_us)
    input_json = policy_input(request.document, base_facts(ToolClass.READ), rfc3339(made.decided_at_us))
    replayable = True
    return decision_commitment(made, request, Caller(caller), input_json, replayable, "")


def commitments(count: int, start: int = 1) -> list[Commitment]:
    return [commitment(number) for number in range(start, start + count)]


async def fill(path: Path, signing_key: SigningKey, start: int = 1) -> None:
    """Write nine records in four commits, with checkpoints at 3, 6 and 9."""
    ledger = SqliteLedger.open(path, writer="w1", signing_key=signing_key, clock=TickingClock())
    await ledger.commit(commitments(3, start))
    await ledger.checkpoint()
    await ledger.commit([invalid_request_commitment("", Caller(), "Authorize", [], START_US)])
    await ledger.commit([commitment(start + 3, tenant="other"), commitment(start + 4)])
    await ledger.checkpoint()
    await ledger.commit(commitments(3, start + 5))
    await ledger.checkpoint()
    await ledger.close()


def same_request(number: int, decided: int) -> Commitment:
    """Return the commitment of another replica for request `number`, with decision `decided`."""
    made = commitment(number)
    assert made.decision is not None
    decision_id = f"dec_{decided:032x}"
    return replace(
        made,
        decision=replace(made.decision, decision_id=decision_id),
        fields={**made.fields, "decision_id": decision_id},
    )
