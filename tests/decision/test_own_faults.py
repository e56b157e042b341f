"""Whatever goes wrong within Placet on the way of a decision is a recorded deny, and denies nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet.approvals.model import approval_key
from placet.audit.records import DecisionQuery
from placet.controls.breakers.rules import breaker_keys
from placet.controls.kill_switches.documents import switch_id, switch_key
from placet.controls.kill_switches.model import KillScope
from placet.kernel import rule_ids
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.model import Decision
from placet.kernel.state import Row
from placet.tenants.policy import TenantPolicy
from tests.support.decision_env import DecisionEnv as Deciding
from tests.support.fakes import ALLOWED, APPROVAL_REQUIRED, Bench, FullLedger, ScriptedPolicy, new_request, verdict

if TYPE_CHECKING:
    from placet.audit.records import RecordedDecision
    from placet.decision.replies import Answer
    from placet.kernel.state import ReadSet, RowKey, Snapshot

FAULT = ("deny", rule_ids.INTERNAL_ERROR)
ALLOW = ("allow", "tools.listed")
TOOLS = {"allowed_tools": ["look"], "write_tools": ["pay"]}


class Broken(TenantPolicy):
    """A tenant's file that something is wrong with which no check has found."""

    def run_limits(self, workflow: str) -> Any:
        raise RuntimeError(f"a defect with {workflow}")


class Unredactable(TenantPolicy):
    """A tenant's file with which nothing can be redacted."""

    def sensitive(self, tool: str) -> Any:
        raise RuntimeError(f"a defect with {tool}")


def bench(broken: type[TenantPolicy] = Broken, **said: Any) -> Bench:
    """Tenant globex has what is broken, acme a sound file."""
    files = {"acme": TenantPolicy.model_validate({**TOOLS, **said}), "globex": broken.model_validate(TOOLS)}
    return Bench(ScriptedPolicy(agent_policies=files))


def damage(made: Bench, key: RowKey, status: str = "set") -> None:
    """The row is there, and no document."""
    made.ledger.stored[key] = Row(key, status, 1, b'{"damaged":', version=1)


def told(*answers: Answer) -> list[tuple[str, str]]:
    return [(answer.effect.value, answer.rule_id) for answer in answers if isinstance(answer, Decision)]


async def recorded(made: Bench, tenant: str) -> list[RecordedDecision]:
    assert (await made.ledger.verify()).ok
    page = await made.ledger.query_decisions(DecisionQuery(tenant=tenant))
    return sorted(page.decisions, key=lambda each: each.sequence)


async def test_a_fault_while_facts_are_gathered_denies_the_one_that_meets_it() -> None:
    made = bench()
    answers = await made.point.decide(
        [
            new_request("pay"),
            new_request("pay", identity__tenant="globex"),
            new_request("look"),
            new_request("nothing.such"),
        ]
    )
    assert told(*answers) == [ALLOW, FAULT, ALLOW, ("deny", "pdp.unknown_tool")]
    assert [str(fault) for fault in made.errors] == ["a defect with "]
    [held] = await recorded(made, "globex")
    assert held.decision == answers[1]
    assert len(await recorded(made, "acme")) == 3


async def test_a_kill_switch_wins_over_a_fault() -> None:
    made = Deciding()
    made.policy.agent_policies = {"acme": Broken.model_validate(TOOLS)}
    await made.kill("tool", "pay")
    answers = await made.point.decide([new_request("pay"), new_request("look")])
    assert told(*answers) == [("deny", "kill_switch.tool"), FAULT]


async def test_the_same_key_is_told_of_the_same_fault() -> None:
    made = bench()
    ask = {"identity__tenant": "globex", "idempotency_key": "k"}
    [first] = await made.point.decide([new_request("pay", **ask)])
    made.policy.agent_policies = dict.fromkeys(("acme", "globex"), made.policy.agent_policies["acme"])
    assert await made.point.decide([new_request("pay", **ask)]) == [first]


@pytest.mark.parametrize("tenant", ["globex", ""])
async def test_controls_that_cannot_be_read_deny_those_that_they_are_for(tenant: str) -> None:
    made = bench(TenantPolicy)
    damage(made, switch_key(tenant, switch_id(KillScope.TOOL, tenant, "other")))
    answers = await made.point.decide([new_request("pay"), new_request("pay", identity__tenant="globex")])
    assert told(*answers) == [ALLOW if tenant else FAULT, FAULT]


async def test_a_breaker_that_cannot_be_read_denies_those_that_it_watches() -> None:
    made = bench(limits={"breaker": {"failures_in_a_row": 2, "open_seconds": 30, "scopes": ["tool"]}})
    request = new_request("pay")
    [key] = breaker_keys(made.policy.agent_policies["acme"].breaker, request.proposal)
    damage(made, key, "closed")
    answers = await made.point.decide([request, new_request("look")])
    assert told(*answers) == [FAULT, ALLOW]


async def test_an_approval_that_cannot_be_read_allows_nothing() -> None:
    made = bench()
    damage(made, approval_key("acme", "apr_1"), "approved")
    answers = await made.point.decide([new_request("pay", approval_id="apr_1"), new_request("pay")])
    assert told(*answers) == [FAULT, ALLOW]


async def test_a_request_for_approval_that_cannot_be_read_goes_on_asking() -> None:
    made = Deciding(say=lambda _: verdict(ALLOWED, APPROVAL_REQUIRED))
    first = await made.ask(idempotency_key="k")
    assert first.approval is not None
    damage(made, approval_key("acme", first.approval.approval_id), "approved")
    answers = await made.point.decide(
        [new_request("pay", idempotency_key="k"), new_request("look", idempotency_key="l")]
    )
    assert told(*answers) == [("require_approval", "pay.large")] * 2
    assert answers[0] == first
    assert len(made.errors) > 1
    made.errors.clear()
    assert told(*await made.point.decide([new_request("pay"), new_request("mail")])) == [
        FAULT,
        ("require_approval", "pay.large"),
    ]


async def test_what_cannot_be_redacted_is_denied_and_kept_without_what_was_said() -> None:
    made = bench(Unredactable)
    secret = {"action__params_json": '{"to":"4111111111111111"}', "identity__tenant": "globex", "run__run_id": "r1"}
    answers = await made.point.decide(
        [new_request("pay"), new_request("pay", **secret, action__scope="s", evidence=[])]
    )
    assert told(*answers) == [ALLOW, FAULT]
    [held] = await recorded(made, "globex")
    assert held.decision == answers[1]
    assert (held.replayable, b"4111" in held.input_json, b'"r1"' in held.input_json) == (False, False, True)
    assert held.not_replayable_reason.startswith("withheld: ")


async def test_a_store_that_cannot_be_read_is_no_fault_of_placets() -> None:
    class Unreadable(FullLedger):
        async def load(self, wanted: ReadSet) -> Snapshot:
            raise LedgerUnavailableError(f"no such disk for {wanted}")

    made = Bench(ledger=Unreadable)
    with pytest.raises(LedgerUnavailableError):
        await made.point.decide([new_request()])
    assert not made.errors
